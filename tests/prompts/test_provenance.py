"""What a set has seen travels with it, and what has seen a fold is not judged on it."""

from __future__ import annotations

import pytest

from dfer_prompts import DescriptionSet, InputError, control_set
from dfer_prompts.description_set import Seen
from dfer_prompts.provenance import chosen_set, require_unseen, seen_folds, seen_note

from .drafts import draft

FIRST = Seen(dataset="DFEW", fingerprint="aa", folds=(3, 1))
SECOND = Seen(dataset="mafw", fingerprint="bb", folds=(2,))


def chosen(of: DescriptionSet, seen: Seen = SECOND) -> DescriptionSet:
    return chosen_set(of, {"anger": ["tight lips", "a frown"]}, seen, {"command": "search"})


@pytest.mark.parametrize(
    ("dataset", "fingerprint", "folds"),
    [
        ("DFEW", "aa", (1, 3)),
        ("dfew", "packed anew", (1, 3)),
        ("renamed", "aa", (1, 3)),
        ("mafw", "bb", ()),
    ],
)
def test_a_dataset_is_recognised_by_name_or_fingerprint(
    dataset: str, fingerprint: str, folds: tuple[int, ...]
) -> None:
    assert seen_folds(draft(seen=(FIRST,)), dataset, fingerprint) == folds


def test_a_selected_set_inherits_and_passes_on_provenance() -> None:
    made = chosen(draft(seen=(FIRST,)))
    for each in (made, made.top(1), control_set("random-words", made), chosen(made)):
        assert each.manifest.seen == (FIRST, SECOND)


def test_a_selected_set_keeps_support_and_order_and_joins_members() -> None:
    made = chosen(
        draft({"happiness": [["a smile"]], "anger": [["a frown", "heat"], ["a glare", "tight lips"]]})
    )
    assert made.class_names == ("anger",)
    assert [(each.text, each.rank) for each in made.members["anger"][0]] == [
        ("tight lips", 1),
        ("a frown", 2),
    ]
    assert made.manifest.source == "llm"
    assert made.manifest.class_set == {"name": "two", "class_names": ["anger"]}
    assert made.manifest.derivation == {"command": "search"}


def test_only_test_folds_count() -> None:
    clean, spoiled = draft(), draft(seen=(FIRST,))
    require_unseen([clean, spoiled], "dfew", "", [2, 4])
    with pytest.raises(
        InputError, match=r"labels of fold 1, 3 of dfew, so it cannot be tested there\nTest it on"
    ):
        require_unseen([clean, spoiled], "dfew", "", [1, 2, 3])
    assert seen_note(clean, "dfew", "aa", [1]) is None
    assert seen_note(spoiled, "dfew", "aa", [2]) is None
