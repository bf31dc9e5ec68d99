"""Differences between description sets, by values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfer_prompts import DescriptionSet, Descriptor
from dfer_prompts.versions.diff import Difference, diff, similarity

from ..drafts import draft


def as_tuples(found: Difference) -> list[tuple[str, str | None, str | None, str]]:
    """(kinds, text before, text after, ranks) of each change of the first class's first member."""
    return [
        (
            ", ".join(change.kinds),
            change.before and change.before.text,
            change.after and change.after.text,
            change.ranks,
        )
        for change in found.classes[0].members[0]
        if change.kinds
    ]


def of_joy(*texts: str) -> DescriptionSet:
    return draft({"joy": [list(texts)]})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["a", "b"], ["a", "b"], []),
        (["tears", "a smile"], ["a smile"], [("removed", "tears", None, "1")]),
        (["tears"], ["a smile", "tears"], [("added", None, "a smile", "1")]),  # tears, now 2, did not move
        (
            ["tears", "a smile"],
            ["a smile", "tears"],
            [("moved", "a smile", "a smile", "2 -> 1")],
        ),
        (["a", "b", "c", "d"], ["d", "a", "b", "c"], [("moved", "d", "d", "4 -> 1")]),
        (["a", "b", "c", "d"], ["c", "b", "x", "a", "d"], [
            ("moved", "c", "c", "3 -> 1"), ("moved", "b", "b", "2"), ("added", None, "x", "3"),
        ]),
        (["raised eyebrows"], ["slightly raised eyebrows"], [
            ("reworded", "raised eyebrows", "slightly raised eyebrows", "1"),
        ]),
        # The same words in another order have one normal form; one letter fewer is a typing error.
        (["eyebrows raised"], ["raised eyebrows"], [("reworded", "eyebrows raised", "raised eyebrows", "1")]),
        (["raised eyebrws"], ["raised eyebrows"], [("reworded", "raised eyebrws", "raised eyebrows", "1")]),
        # One word of two is half, and another feature: what goes stands before what comes at its rank.
        (["raised cheeks"], ["raised eyebrows"], [
            ("removed", "raised cheeks", None, "1"), ("added", None, "raised eyebrows", "1"),
        ]),
        # The most alike are matched: "wide open mouth" shares 2 of 3 + 2 words with "open mouth" (0.8) and 2
        # of 3 + 3 with "mouth slightly open" (0.67).
        (["mouth slightly open", "open mouth"], ["wide open mouth", "tears"], [
            ("removed", "mouth slightly open", None, "1"),
            ("reworded", "open mouth", "wide open mouth", "2 -> 1"),
            ("added", None, "tears", "2"),
        ]),
        (["b one", "c two", "the d"], ["c two", "that d", "e"], [
            ("removed", "b one", None, "1"),
            ("reworded", "the d", "that d", "3 -> 2"),
            ("added", None, "e", "3"),
        ]),
    ],
)  # fmt: skip
def test_changes_between_two_sets(
    before: list[str], after: list[str], expected: list[tuple[str, ...]]
) -> None:
    assert as_tuples(diff(of_joy(*before), of_joy(*after))) == expected


def test_similarity_equals_a_calculation_by_hand() -> None:
    assert similarity("The smile", "smile") == 1.0
    assert similarity("raised eyebrows", "slightly raised eyebrows") == 2 * 2 / 5
    assert similarity("raised eyebrws", "raised eyebrows") == 2 * 14 / 29
    assert similarity("open mouth", "closed mouth") == 0.0  # half of the words
    assert similarity("🙂", "🙃") == 0.0
    assert similarity("🙂", "🙂") == 1.0


def test_differences_of_support_and_samples() -> None:
    def joy(*of: tuple[str, int, int]) -> DescriptionSet:
        member = tuple(Descriptor(text, rank, *support) for rank, (text, *support) in enumerate(of, start=1))
        return replace(of_joy("x"), members={"joy": (member,)})

    found = diff(joy(("tears", 3, 5), ("a smile", 1, 5)), joy(("a smile", 9, 10), ("tears", 3, 5)))
    changes = found.classes[0].members[0]
    assert [(change.kinds, change.supports) for change in changes] == [
        (("moved", "support"), "1/5 -> 9/10"), ((), "3/5"),
    ]  # fmt: skip
    assert found.counts() == {"added": 0, "removed": 0, "reworded": 0, "moved": 1, "support": 1}
    assert found.summary() == "1 moved, 1 with other support in 1 of 1 classes"


def test_classes_are_matched_by_name() -> None:
    first = draft({"Happy": [["a smile"]], "fear": [["wide eyes"]], "awe": [["open mouth"]]})
    second = draft({"fear": [["wide eyes"]], "happiness": [["a smile"]], "anger": [["a glare"]]})
    found = diff(replace(first, name="v2"), replace(second, name="v3"))
    assert (found.only_first, found.only_second, found.reordered) == (("awe",), ("anger",), True)
    assert found.unchanged == ["fear"]
    assert [(each.class_name, each.second_name) for each in found.classes] == [
        ("Happy", "happiness"), ("fear", "fear"),
    ]  # fmt: skip
    assert found.summary() == "only in v2: awe; only in v3: anger; the classes are in another order"
    twice = diff(draft({"Happy": [["x"]], "joy": [["y"]]}), draft({"happiness": [["x"]]}))
    assert (twice.only_first, twice.reordered) == (("joy",), False)


def test_equal_sets_have_no_difference() -> None:
    found = diff(of_joy("a smile"), of_joy("a smile"))
    assert found.identical
    assert found.summary().endswith("have the same classes, descriptors, ranks and support")
    renamed = diff(draft({"Happy": [["x"]]}), draft({"happiness": [["x"]]}))
    assert not renamed.identical
    assert renamed.summary() == "class names are written differently"


def test_members_are_compared_in_order() -> None:
    found = diff(draft({"joy": [["x"], ["y"]]}), draft({"joy": [["x"], ["z"], ["w", "v"]]}))
    (joy,) = found.classes
    assert joy.counts == (2, 3)
    assert [[change.kinds[0] for change in member if change.kinds] for member in joy.members] == [
        [], ["removed", "added"], ["added", "added"],
    ]  # fmt: skip


def test_a_difference_as_a_dictionary() -> None:
    found = diff(replace(of_joy("x", "y"), name="v2"), replace(of_joy("x"), name="v3")).as_dict()
    assert found == {
        "first": "v2", "second": "v3", "identical": False,
        "counts": {"added": 0, "removed": 1, "reworded": 0, "moved": 0, "support": 0},
        "only_first": [], "only_second": [], "reordered": False, "unchanged": [],
        "classes": [{
            "class_name": "joy", "second_name": "joy", "members": [1, 1],
            "changes": [{
                "member": 0, "kinds": ["removed"], "after": None,
                "before": {"text": "y", "rank": 2, "support": 1, "samples": 1},
            }],
        }],
    }  # fmt: skip


def test_foreign_text_is_escaped_in_markdown() -> None:
    first = draft({"joy": [["*x* | <img src=x>"]], "awe": [["an open mouth"]]})
    second = draft({"joy": [["[y](http://z)"], ["tears"]], "awe": [["an open mouth"]]})
    assert diff(replace(first, name="v2"), replace(second, name="v3")).as_markdown() == (
        "# v2 and v3\n\n2 added, 1 removed in 1 of 2 classes.\n\n## joy\n\n"
        "Members: 1 in v2, 2 in v3.\n\n"
        "Member 0:\n\n| change | in v2 | in v3 | rank | support |\n| --- | --- | --- | --- | --- |\n"
        "| removed | \\*x\\* \\| &lt;img src=x&gt; |  | 1 | 1/1 |\n"
        "| added |  | \\[y\\](http://z) | 1 | 1/1 |\n\n"
        "Member 1:\n\n| change | in v2 | in v3 | rank | support |\n| --- | --- | --- | --- | --- |\n"
        "| added |  | tears | 1 | 1/1 |\n\n"
        "Unchanged: awe.\n"
    )
