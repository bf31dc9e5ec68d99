"""Ranking: support, then position, then the most frequent wording."""

from __future__ import annotations

import pytest

from dfer_prompts import rank
from dfer_prompts.ranking import normal_form


@pytest.mark.parametrize(
    "text", ["a Raised  Eyebrow.", "the raised eyebrow", "RAISED EYEBROW!", "raised\teyebrow"]
)
def test_one_normal_form_for_all_wordings(text: str) -> None:
    assert normal_form(text) == "raised eyebrow"


def test_support_comes_before_position() -> None:
    answers = [
        ["open mouth", "raised eyebrows"],
        ["raised eyebrows"],
        ["A dropped jaw", "the raised eyebrows"],
    ]
    ranked = rank(answers, top_k=6)
    assert [(each.text, each.rank, each.support, each.samples) for each in ranked] == [
        ("raised eyebrows", 1, 3, 3), ("open mouth", 2, 1, 3), ("A dropped jaw", 3, 1, 3),
    ]  # fmt: skip


def test_position_settles_equal_support() -> None:
    answers = [["x one", "y two", "z three"], ["z three", "x one", "y two"]]  # mean places 0.5, 1.5, 1.0
    assert [each.text for each in rank(answers, top_k=3)] == ["x one", "z three", "y two"]


def test_an_answer_that_repeats_itself_counts_once() -> None:
    ranked = rank([["tears", "Tears", "a frown"], ["a frown"]], top_k=2)
    assert [(each.text, each.support) for each in ranked] == [("a frown", 2), ("tears", 1)]


def test_the_most_frequent_wording_is_kept() -> None:
    assert rank([["The tears"], ["tears"], ["tears."], ["tears"]], top_k=1)[0].text == "tears"
    assert rank([["the tears"], ["tears"]], top_k=1)[0].text == "the tears"


def test_cut_to_top_k_and_nothing_from_nothing() -> None:
    assert len(rank([["a b", "c d", "e f"]], top_k=2)) == 2
    assert rank([], top_k=3) == []
    assert rank([["the"], [""]], top_k=3) == []
