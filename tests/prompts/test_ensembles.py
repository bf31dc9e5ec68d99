"""Ensembles: every set a member, or a vote; by values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dfer_prompts import DescriptionSet, DescriptionStore, Descriptor, Workspace
from dfer_prompts.description_set import Seen
from dfer_prompts.ensembles import left_out, members, vote
from dfer_prompts.errors import InputError

from .drafts import draft

ONE = {"joy": [["a smile", "raised cheeks"]], "fear": [["wide eyes"]]}
TWO = {"joy": [["bright eyes"], ["open mouth"]], "fear": [["pale skin"]]}


def named(name: str, listed: dict[str, list[list[str]]], **manifest: object) -> DescriptionSet:
    return replace(draft(listed, **manifest), name=name)


def texts(of: DescriptionSet) -> dict[str, list[list[str]]]:
    return {name: [[each.text for each in member] for member in of.members[name]] for name in of.class_names}


def test_members_are_in_the_order_of_the_sets() -> None:
    joined = members([named("v2", ONE), named("v3@1", TWO)])
    assert joined.class_texts(["fear", "joy"]) == [
        ["wide eyes.", "pale skin."], ["a smile and raised cheeks.", "bright eyes.", "open mouth."],
    ]  # fmt: skip
    assert joined.name == ""
    assert joined.manifest.parents == ["v2", "v3@1"]
    assert joined.manifest.parent_sha256 == {
        "v2": named("v2", ONE).sha256, "v3@1": named("", TWO).sha256,
    }  # fmt: skip
    assert joined.manifest.derivation == {"command": "ensemble", "how": "members"}


def test_a_member_of_weight_two_is_repeated() -> None:
    joined = members([named("v2", ONE), named("v3", TWO)], weights=[4, 2])
    assert texts(joined)["joy"] == [
        ["a smile", "raised cheeks"], ["a smile", "raised cheeks"], ["bright eyes"], ["open mouth"],
    ]  # fmt: skip
    assert texts(joined)["fear"] == [["wide eyes"], ["wide eyes"], ["pale skin"]]
    assert joined.manifest.derivation["weights"] == [4, 2]


def test_invalid_weights_are_refused() -> None:
    sets = [draft(ONE), draft(TWO)]
    cases = [
        ([1, 0.5], "use 2,1 for 1,0.5"),
        ([1, 101], "from 1 to 100"),
        ([1], "2 description sets and 1 weights"),
        ([1, 0], "above 0"),
        ([1, float("nan")], "above 0"),
        ([-1, 1], "above 0"),
    ]
    for weights, reason in cases:
        with pytest.raises(InputError, match=reason):
            members(sets, weights)
    with pytest.raises(InputError, match="above 0"):
        vote(sets, weights=[1, float("inf")])


def test_common_classes_are_in_the_order_of_the_first_set() -> None:
    first = draft({"sad": [["tears"]], "Happy": [["a smile"]], "contempt": [["a sneer"]]})
    second = draft({"happiness": [["raised cheeks"]], "fear": [["wide eyes"]], "sadness": [["a frown"]]})
    joined = members([first, second])
    assert texts(joined) == {"sad": [["tears"], ["a frown"]], "Happy": [["a smile"], ["raised cheeks"]]}
    assert left_out(joined) == ["contempt", "fear"]
    assert joined.manifest.class_set == {"name": "two", "class_names": ["sad", "Happy"]}
    assert left_out(members([first, first])) == []
    with pytest.raises(InputError, match=r"no class in common\nv2: sad, Happy, contempt; unsaved: awe"):
        vote([replace(first, name="v2"), draft({"awe": [["an open mouth"]]})])


def test_a_single_or_repeated_set_is_refused() -> None:
    with pytest.raises(InputError, match="two or more description sets, not 1"):
        members([draft(ONE)])
    with pytest.raises(InputError, match=r"v2 is given 2 times\n.*--weights"):
        vote([named("v2", ONE), named("v2", ONE)])


def test_a_vote_orders_by_number_of_sets_then_by_mean_rank() -> None:
    # smile: 3 sets. cheeks: 2 sets, ranks 1 and 3, mean 2. teeth: 2 sets, ranks 2 and 3. eyes: 1 set.
    elected = vote(
        [
            draft({"joy": [["raised cheeks", "bared teeth", "a smile"]]}),
            draft({"joy": [["smile", "bright eyes", "cheeks that are raised"]]}),
            draft({"joy": [["glowing skin", "smile", "bared teeth"]]}),
        ]
    )
    assert elected.members["joy"] == (
        (
            Descriptor("smile", 1, 3, 3, ("a smile",)),
            Descriptor("raised cheeks", 2, 2, 3, ("cheeks that are raised",)),
            Descriptor("bared teeth", 3, 2, 3),
            Descriptor("glowing skin", 4, 1, 3),
            Descriptor("bright eyes", 5, 1, 3),
        ),
    )


def test_weights_apply_to_the_vote_and_not_the_support() -> None:
    sets = [draft({"joy": [[f"{each} eyes" for each in one]]}) for one in (["wide", "wet"], ["wet"], ["red"])]
    elected = vote(sets, weights=[0.1, 0.2, 0.5])  # wide 0.1, wet 0.3, red 0.5
    assert [(each.text, each.support) for each in elected.members["joy"][0]] == [
        ("red eyes", 1), ("wet eyes", 2), ("wide eyes", 1),
    ]  # fmt: skip
    # 0.1 + 0.2 is 0.3, a tie that the mean ranks settle: red is first in its set, wet 2 and 1.
    tied = vote(sets, weights=[0.1, 0.2, 0.3], top_k=2)
    assert [each.text for each in tied.members["joy"][0]] == ["red eyes", "wet eyes"]
    assert tied.manifest.derivation == {
        "command": "ensemble", "how": "vote", "top_k": 2, "weights": [0.1, 0.2, 0.3],
    }  # fmt: skip
    with pytest.raises(InputError, match="top 0"):
        vote(sets, top_k=0)


def test_a_set_with_several_members_votes_once() -> None:
    elected = vote([draft({"joy": [["a smile"], ["smile", "tears"]]}), draft({"joy": [["tears"]]})])
    # tears: both sets, ranks 2 and 1; smile: one set, rank 1, in two wordings.
    assert elected.members["joy"][0] == (
        Descriptor("tears", 1, 2, 2), Descriptor("a smile", 2, 1, 2, ("smile",)),
    )  # fmt: skip


def test_a_vote_keeps_texts_without_letters() -> None:
    elected = vote([draft({"joy": [["🙂", "!"]]}), draft({"joy": [["!"]]})])
    assert texts(elected) == {"joy": [["!", "🙂"]]}


def test_the_manifest_has_the_fields_that_all_sets_share() -> None:
    common = {"model": "m", "template": "paper", "sampling": {"seed": 1}, "license": "mit"}
    seen = [
        Seen(dataset="DFEW", fingerprint="f", folds=(1,)),
        Seen(dataset="MAFW", fingerprint="g", folds=(2,)),
    ]
    joined = members([draft(ONE, **common, seen=seen[:1]), draft(TWO, **common, seen=seen)]).manifest
    assert (joined.source, joined.model, joined.template, joined.sampling, joined.license) == (
        "llm", "m", "paper", {"seed": 1}, "mit",
    )  # fmt: skip
    assert joined.seen == tuple(seen)
    mixed = members([draft(ONE, **common), draft(TWO, source="facs", license="cc0-1.0")]).manifest
    assert (mixed.source, mixed.model, mixed.sampling, mixed.license) == ("mixed", None, {}, "mit; cc0-1.0")


def test_a_saved_ensemble_can_be_loaded(isolated: object) -> None:
    store = DescriptionStore(Workspace.find())
    joined = members([store.load("v1@2"), store.load("v1@4")], weights=[2, 1])
    saved = store.save(joined)
    assert store.load(saved.name) == saved
    assert saved.manifest.parents == ["v1@2", "v1@4"]
    assert saved.class_texts(["fear"]) == [
        [
            "raised eyebrows and parted lips.",
            "raised eyebrows and parted lips.",
            store.load("v1").description("fear"),
        ]
    ]
