"""Ranking: support, then position, then the most frequent wording."""

from __future__ import annotations

import pytest

from dfer_prompts import rank
from dfer_prompts.errors import InputError
from dfer_prompts.generation.rank import rank_classes


def test_rank_is_by_support_before_position() -> None:
    answers = [
        ["open mouth", "raised eyebrows"],
        ["raised eyebrows"],
        ["A dropped jaw", "the raised eyebrows"],
    ]
    ranked = rank(answers, top_k=6)
    assert [(each.text, each.rank, each.support, each.samples) for each in ranked] == [
        ("raised eyebrows", 1, 3, 3), ("open mouth", 2, 1, 3), ("A dropped jaw", 3, 1, 3),
    ]  # fmt: skip


def test_equal_support_is_ordered_by_position() -> None:
    answers = [["x one", "y two", "z three"], ["z three", "x one", "y two"]]  # mean places 0.5, 1.5, 1.0
    assert [each.text for each in rank(answers, top_k=3)] == ["x one", "z three", "y two"]


def test_an_answer_that_repeats_itself_counts_once() -> None:
    ranked = rank([["tears", "Tears", "a frown"], ["a frown"]], top_k=2)
    assert [(each.text, each.support) for each in ranked] == [("a frown", 2), ("tears", 1)]


def test_the_most_frequent_wording_is_the_text() -> None:
    assert rank([["The tears"], ["tears"], ["tears."], ["tears"]], top_k=1)[0].text == "tears"
    assert rank([["the tears"], ["tears"]], top_k=1)[0].text == "the tears"


def test_ranking_is_cut_to_top_k_and_may_be_empty() -> None:
    assert len(rank([["a b", "c d", "e f"]], top_k=2)) == 2
    assert rank([], top_k=3) == []
    assert rank([["the"], [""]], top_k=3) == []


ORDERED = [["open mouth", "tears"], ["tears", "open mouth", "a frown"], ["tears"], ["open mouth"]]
# over four answers, absent counts as place 3: open mouth 0, 1, 3, 0; tears 1, 0, 0, 3; a frown 3, 2, 3, 3


def test_order_is_by_the_mean_position_over_all_answers() -> None:
    assert [each.text for each in rank(ORDERED, top_k=3, by="order")] == ["open mouth", "tears", "a frown"]
    first_once = [["a frown", "tears"], ["tears", "wet eyes"], ["tears"]]  # tears 1, 0, 0; a frown 0, 2, 2
    assert [each.text for each in rank(first_once, top_k=2, by="order")] == ["tears", "a frown"]
    early = [["a glare", "tears"], ["a glare", "x y", "tears"], ["u v", "w x", "tears"]]
    assert rank(early, top_k=1)[0].text == "tears"  # named by all three
    assert rank(early, top_k=1, by="order")[0].text == "a glare"  # places 0, 0, 3 against 1, 2, 2


SHARED = {
    # answers of fear that name it, and of surprise:  raised brows 3/3 - 2/2, a stare 2/3 - 1/2, pale 1/3 - 0
    "fear": [["raised brows", "a stare"], ["raised brows", "a stare"], ["Raised brows", "pale skin"]],
    "surprise": [["raised brows", "an open mouth"], ["the raised brows", "a stare", "an open mouth"]],
    "disgust": [["a wrinkled nose"]],
}


def test_distinctive_prefers_descriptors_rare_in_other_classes() -> None:
    by_class = rank_classes(SHARED, top_k=3, by="distinctive")
    assert [(each.text, each.rank, each.support, each.samples) for each in by_class["fear"]] == [
        ("pale skin", 1, 1, 3), ("a stare", 2, 2, 3), ("raised brows", 3, 3, 3),  # 1/3, 1/6, 0
    ]  # fmt: skip
    assert [each.text for each in by_class["surprise"]] == [
        "an open mouth", "raised brows", "a stare",  # 1, 1 - 1, 1/2 - 2/3
    ]  # fmt: skip
    assert [each.text for each in rank_classes(SHARED, top_k=1)["fear"]] == ["raised brows"]


def test_equally_distinctive_descriptors_are_ordered_by_support() -> None:
    answers = {
        "fear": [["pale skin", "a stare"], ["a stare"]],  # 1/2 - 0 and 2/2 - 1/2
        "anger": [["a stare"], ["a frown"]],
    }
    assert [each.text for each in rank_classes(answers, 2, "distinctive")["fear"]] == ["a stare", "pale skin"]


def test_classes_keep_shared_descriptors_and_may_have_no_answer() -> None:
    by_class = rank_classes({**SHARED, "anger": []}, top_k=6)
    assert by_class["anger"] == []
    assert all("raised brows" in [each.text for each in by_class[name]] for name in ("fear", "surprise"))
    assert [each.wordings for each in by_class["fear"]][:2] == [("Raised brows",), ()]


def test_an_unknown_ranking_is_an_error() -> None:
    with pytest.raises(InputError, match=r"no ranking 'suport'; did you mean support\?"):
        rank_classes(SHARED, 3, "suport")
