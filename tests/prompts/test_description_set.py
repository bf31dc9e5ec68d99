"""The description set: sentences, views, classes matched by name, identity."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_prompts import DescriptionSet, InputError, Manifest, join, parse_answer

from .drafts import draft, member


@pytest.mark.parametrize(
    ("descriptors", "sentence"),
    [
        (["tears"], "tears."),
        (["tears", "a frown"], "tears and a frown."),
        (["tears", "a frown", "dull eyes"], "tears, a frown, and dull eyes."),
        (
            ["a smile", "an open mouth", "tears", "widening eyes"],
            "a smile, an open mouth, tears, and widening eyes.",
        ),
        (["Tears", "A frown.", "Dull eyes;"], "tears, a frown, and dull eyes."),
        (["tears", "and a frown"], "tears and a frown."),
        (
            ["AU12 active", "V-shaped brows", "A-line creases"],
            "AU12 active, V-shaped brows, and A-line creases.",
        ),
        (["brows raised and drawn together", "tears"], "brows raised and drawn together, and tears."),
        (["tears", "lips up and back"], "tears, and lips up and back."),
        (["tears", "lips up and back", "a frown"], "tears, lips up and back, and a frown."),
        (["wide, staring eyes", "tears", "pale skin"], "wide, staring eyes; tears; and pale skin."),
        (["tears", "wide, staring eyes"], "tears; and wide, staring eyes."),
        (["wide, staring eyes"], "wide, staring eyes."),
        (["A smiling face."], "A smiling face."),
        (["What a grin!"], "What a grin!"),
        (["Tears"], "tears."),
        (["眉をひそめる", "tears"], "眉をひそめる and tears."),
    ],
)  # fmt: skip
def test_descriptors_are_joined_as_in_the_paper(descriptors: list[str], sentence: str) -> None:
    assert join(descriptors) == sentence


@given(
    st.lists(
        st.sampled_from(["tears", "a frown", "dull eyes", "raised cheeks", "a tight jaw"]),
        min_size=3,
        unique=True,
    )
)
def test_a_joined_sentence_is_parsed_back(descriptors: list[str]) -> None:
    assert parse_answer(join(descriptors)) == descriptors


def test_texts_are_per_class_in_the_requested_order_and_per_member() -> None:
    assert draft().class_texts(["Angry", "happy"]) == [
        ["a frown and narrow eyes.", "a glare and tight lips."],
        ["a smile, raised cheeks, and bright eyes."],
    ]
    assert draft().description("anger", member=1) == "a glare and tight lips."


def test_missing_classes_are_named() -> None:
    with pytest.raises(InputError, match=r"no description of: fear, disgust\nIt covers happiness, anger"):
        draft().class_texts(["anger", "fear", "disgust"])
    with pytest.raises(InputError, match="f5 and 2 more"):
        draft().class_texts([f"f{number}" for number in range(1, 8)])
    with pytest.raises(InputError, match="2 members and no member 2"):
        draft().description("anger", member=2)


def test_two_names_of_one_class_are_distinguished() -> None:
    both = draft({"happy": [["a smile"]], "joy": [["a laugh"]]})
    assert both.class_texts(["joy", "happy"]) == [["a laugh."], ["a smile."]]
    with pytest.raises(InputError, match="happiness"):
        both.class_texts(["happiness"])


def test_top_is_a_view_of_every_member() -> None:
    named = DescriptionSet("v7", ("happiness", "anger"), draft().members, draft().manifest)
    view = named.top(2)
    assert view.name == "v7@2"
    assert view.top(1).name == "v7@1"
    assert view.class_texts(["happiness", "anger"]) == [
        ["a smile and raised cheeks."], ["a frown and narrow eyes.", "a glare and tight lips."],
    ]  # fmt: skip
    assert draft().top(1).name == ""
    assert named.class_texts(["happiness"]) == [["a smile, raised cheeks, and bright eyes."]]


def test_top_names_all_classes_that_have_fewer() -> None:
    with pytest.raises(
        InputError, match=r"fewer than 3 descriptors of: anger \(2\)\nEvery class has at least 2"
    ):
        draft().top(3)
    many = draft({f"c{number}": [["x"] * min(number, 3)] for number in range(1, 9)})
    with pytest.raises(
        InputError, match=r": c1 \(1\), c2 \(2\), c3 \(3\), c4 \(3\), c5 \(3\) and 3 more\n.* at least 1"
    ):
        many.top(4)
    with pytest.raises(InputError, match="1 or more"):
        draft().top(0)


def test_the_sha256_is_that_of_the_class_texts() -> None:
    same = DescriptionSet("v9", ("happiness", "anger"), draft().members, draft(model="m").manifest)
    assert same.sha256 == draft().sha256
    others = [
        draft({"happiness": [["a smile"]], "anger": [["a frown"]]}),
        draft({"anger": [["a smile"]], "happiness": [["a frown"]]}),
        draft({"happiness": [["a smile", "a frown"]], "anger": [["a frown"]]}),
        draft({"happiness": [["a smile"], ["a frown"]], "anger": [["a frown"]]}),
    ]
    assert len({each.sha256 for each in others}) == 4
    assert pickle.loads(pickle.dumps(draft())) == copy.deepcopy(draft()) == draft()


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"happiness": ()}, "differ"),
        ({"happiness": (), "anger": (member("a frown"),)}, "'happiness' has no descriptor"),
        ({"happiness": ((),), "anger": (member("a frown"),)}, "'happiness' has no descriptor"),
        ({"happiness": (member("a\nb"),), "anger": (member("a frown"),)}, "not one line of text"),
        ({"happiness": (member("a", "b")[1:],), "anger": (member("a frown"),)}, "has rank 2 instead of 1"),
    ],
)
def test_an_incomplete_set_is_refused(members: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        DescriptionSet("", ("happiness", "anger"), members, draft().manifest)


def test_secrets_of_a_url_are_not_in_the_manifest() -> None:
    manifest = Manifest(
        class_set={"name": "two", "class_names": ["a", "b"]},
        source="llm",
        base_url="https://user:sk-secret@host:8080/v1?key=sk-secret#sk-secret",
    )
    assert manifest.base_url == "https://host:8080/v1"
