"""Controls: meaningless in one known way, matched in size, repeatable."""

from __future__ import annotations

from collections import Counter

import pytest

from dfer_prompts import DescriptionSet, InputError, control_set, load, load_class_set
from dfer_prompts.sources.controls import CONTROLS

from .drafts import draft


def texts(of: DescriptionSet) -> dict[str, list[list[str]]]:
    return {name: [[each.text for each in member] for member in of.members[name]] for name in of.class_names}


def sizes(of: DescriptionSet) -> dict[str, list[list[int]]]:
    return {
        name: [[len(each.split()) for each in member] for member in listed]
        for name, listed in texts(of).items()
    }


def words(of: DescriptionSet) -> Counter[str]:
    return Counter(
        word for listed in texts(of).values() for member in listed for each in member for word in each.split()
    )


def test_there_are_three() -> None:
    assert list(CONTROLS) == ["class-name", "swapped", "scrambled"]
    with pytest.raises(InputError, match="did you mean swapped"):
        control_set("swaped", load("v1"))


@pytest.mark.parametrize("name", list(CONTROLS))
def test_a_control_says_what_it_is_of(name: str) -> None:
    control = control_set(name, load("v1@2"), seed=3)
    assert control.name == f"control:{name}"
    assert control.manifest.source == f"control:{name}"
    assert control.manifest.control == name
    assert control.manifest.parents == ["v1@2"]
    assert control.class_names == load("v1").class_names
    assert texts(control) == texts(control_set(name, load("v1@2"), seed=3))


def test_class_name_is_the_words_alone() -> None:
    compound = draft({"anger_disgust": [["a frown"]], "fear": [["a stare", "tears"]]})
    assert control_set("class-name", compound).class_texts(["fear", "anger_disgust"]) == [
        ["fear."], ["anger and disgust."],
    ]  # fmt: skip


def test_class_name_knows_the_words_of_a_class_set_of_ones_own(tmp_path: object) -> None:
    own = f"{tmp_path}/own.yaml"
    with open(own, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write("name: own\nclasses: [{name: x1, words: quiet pride}, fear]")
    made = draft({"x1": [["a smile"]], "fear": [["tears"]]}, class_set=load_class_set(own).as_manifest())
    assert control_set("class-name", made).class_texts(["x1", "fear"]) == [["quiet pride."], ["fear."]]


@pytest.mark.parametrize("seed", range(20))
def test_swapped_is_a_derangement(seed: int) -> None:
    of = load("v1")
    swapped = texts(control_set("swapped", of, seed))
    assert all(swapped[name] != texts(of)[name] for name in of.class_names)
    assert sorted(swapped.values()) == sorted(texts(of).values())


def test_swapped_moves_all_members_of_a_class_together() -> None:
    assert texts(control_set("swapped", draft())) == {
        "happiness": [["a frown", "narrow eyes"], ["a glare", "tight lips"]],
        "anger": [["a smile", "raised cheeks", "bright eyes"]],
    }


def test_seeds_differ() -> None:
    for name in ("swapped", "scrambled"):
        assert len({control_set(name, load("v1"), seed).sha256 for seed in range(5)}) == 5


def test_scrambled_keeps_counts_and_words_and_mixes_classes() -> None:
    of = load("v1")
    scrambled = control_set("scrambled", of, seed=1)
    assert sizes(scrambled) == sizes(of)
    assert words(scrambled) == words(of)
    own = {name: {word for each in texts(of)[name][0] for word in each.split()} for name in of.class_names}
    strangers = sum(
        word not in own[name]
        for name, listed in texts(scrambled).items()
        for each in listed[0]
        for word in each.split()
    )
    assert strangers > words(of).total() / 2
