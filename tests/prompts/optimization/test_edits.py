"""Edits in the answers of language models: the forms that are read, and what is refused."""

from __future__ import annotations

import json

import pytest

from dfer_prompts.optimization.edits import MOST, Edit, applied, changes, read_edits, sentences

STATE = {"fear": ("raised chin", "wide eyes"), "happiness": ("a smile",)}
REPLACED = Edit("fear", "raised chin", "an open mouth")
ADDED = Edit("happiness", new="raised cheeks")
REMOVED = Edit("fear", "wide eyes")


def answer(*edits: dict[str, str]) -> str:
    return json.dumps({"edits": list(edits)})


RAW = (
    {"class": "fear", "action": "replace", "old": "raised chin", "new": "an open mouth"},
    {"class": "happiness", "action": "add", "new": "raised cheeks"},
    {"class": "fear", "action": "remove", "old": "wide eyes"},
)


@pytest.mark.parametrize(
    "text",
    [
        answer(*RAW),
        f"Sure, here are some edits:\n```json\n{answer(*RAW)}\n```\nThey help.",
        json.dumps(list(RAW)),
        answer(*RAW).replace('"remove", "old": "wide eyes"}', '"remove", "old": "wide eyes",},'),
        answer(*RAW)[:-2],
        json.dumps(
            {
                "Fear": {"replace": {"raised chin": "an open mouth"}},
                "happiness": {"add": ["raised cheeks"]},
                "edits": [RAW[2]],
            }
        ),
        '1. fear: replace "raised chin" with "an open mouth"\n- add raised cheeks to happiness\n'
        "remove wide eyes from fear",
    ],
    ids=["json", "fenced", "list", "commas", "truncated", "by class", "lines"],
)
def test_edits_are_read_in_several_forms(text: str) -> None:
    assert read_edits(text, STATE) == ([REPLACED, ADDED, REMOVED], [])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"class": "boredom", "action": "add", "new": "tears"}, "no class of the set"),
        ({"class": "fear", "action": "shuffle", "new": "tears"}, "no known action"),
        ({"class": "fear", "action": "remove", "old": "tears"}, "no such descriptor"),
        ({"class": "fear", "action": "add", "new": ""}, "no new descriptor"),
        ({"class": "fear", "action": "add", "new": "wide open eyes\u200b"}, "no new descriptor"),
        ({"class": "fear", "action": "add", "new": "the wide eye"}, None),
        ({"class": "fear", "action": "add", "new": "the wide eyes"}, "has this descriptor"),
        ({"class": "fear", "action": "add", "new": "a fearful look"}, "class-name"),
        ({"class": "fear", "action": "add", "new": "a happy look"}, "other-class"),
        ({"class": "fear", "action": "add", "new": "a racing heart"}, "not-visible"),
        ({"class": "fear", "action": "add", "new": "q " * 66}, "too-long"),
        ({"class": "happiness", "action": "remove", "old": "a smile"}, "only descriptor"),
    ],
)
def test_an_edit_that_cannot_be_applied_is_refused_with_its_reason(
    edit: dict[str, str], reason: str | None
) -> None:
    found, refused = read_edits(answer(edit, RAW[0]), STATE)
    assert REPLACED in found
    assert [reason in each.reason for each in refused if reason] == ([True] if reason else [])
    assert len(found) + len(refused) == 2


def test_a_class_may_have_a_limited_number_of_descriptors() -> None:
    full = {**STATE, "fear": tuple(f"wide eyes {'very ' * n}open" for n in range(MOST))}
    _, refused = read_edits(answer({"class": "fear", "action": "add", "new": "tears"}), full)
    assert refused[0].reason == f"the class has {MOST} descriptors"


def test_an_answer_without_edits_has_none() -> None:
    assert read_edits("I'm sorry, I can't help with that.", STATE) == ([], [])


def test_descriptors_are_found_by_their_normal_form() -> None:
    text = answer({"class": "Fear", "action": "remove", "old": "The Raised Chin."})
    assert read_edits(text, STATE)[0] == [Edit("fear", "raised chin")]


def test_edits_are_applied_in_order_and_impossible_ones_left_out() -> None:
    again = Edit("fear", "raised chin", "tears")
    made = applied(STATE, [REPLACED, again, ADDED])
    assert made == {"fear": ("an open mouth", "wide eyes"), "happiness": ("a smile", "raised cheeks")}
    assert sentences(made) == ["an open mouth and wide eyes.", "a smile and raised cheeks."]
    assert changes(STATE, made) == [str(REPLACED), str(ADDED)]
    assert STATE["fear"] == ("raised chin", "wide eyes")
