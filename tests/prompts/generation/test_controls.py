"""Controls: meaningless in one known way, matched in size, repeatable."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import pytest
from open_clip.tokenizer import SimpleTokenizer

from dfer_prompts import DescriptionSet, InputError, control_set, load, load_class_set
from dfer_prompts.description_set import Seen
from dfer_prompts.generation.controls import CONTROLS
from dfer_prompts.generation.facs import facs_table

from ..drafts import draft

CLIP = SimpleTokenizer()
FACE = set(
    "mouth lip lips eye eyes eyebrow eyebrows brow brows lid lids cheek cheeks nose nostril nostrils chin "  # noqa: SIM905
    "jaw forehead face facial temple teeth tooth tongue ear head gaze tear tears pupil pupils muscle smile "
    "frown scowl happiness happy joy sadness sad anger angry fear disgust surprise contempt anxiety".split()
)


def texts(of: DescriptionSet) -> dict[str, list[list[str]]]:
    return {name: [[each.text for each in member] for member in of.members[name]] for name in of.class_names}


def tokens(of: DescriptionSet) -> dict[str, list[list[int]]]:
    """CLIP's own count, not ours."""
    return {
        name: [[len(CLIP.encode(each)) for each in member] for member in listed]
        for name, listed in texts(of).items()
    }


def shape(of: DescriptionSet) -> dict[str, list[int]]:
    return {name: [len(member) for member in listed] for name, listed in texts(of).items()}


def words(of: DescriptionSet) -> Counter[str]:
    return Counter(
        word for listed in texts(of).values() for member in listed for each in member for word in each.split()
    )


def uneven() -> DescriptionSet:
    """Members, descriptors and lengths that differ, with words of one to five tokens."""
    return draft(
        {
            "happiness": [["a smile", "zygomaticus-driven raised cheeks", "bright eyes, and wide"]],
            "anger": [["a frown", "narrow eyes"], ["a glare", "tight lips", "the corrugator", "heat"]],
            "fear": [["eyes"]],
        }
    )


def test_there_are_seven_controls() -> None:
    assert sorted(CONTROLS) == [
        "class-name", "random-characters", "random-words", "scrambled", "shared-random", "swapped",
        "template-sentence",
    ]  # fmt: skip
    with pytest.raises(InputError, match="did you mean swapped"):
        control_set("swaped", load("v1"))


@pytest.mark.parametrize("name", list(CONTROLS))
def test_a_control_names_its_set_in_the_manifest(name: str) -> None:
    control = control_set(name, load("v1@2"), seed=3)
    assert control.name == f"control:{name}"
    assert control.manifest.source == f"control:{name}"
    assert control.manifest.control == name
    assert control.manifest.parents == ["v1@2"]
    assert control.manifest.parent_sha256 == {"v1@2": load("v1@2").sha256}
    assert control.manifest.derivation == {"command": "control", "control": name, "of": "v1@2", "seed": 3}
    assert control.class_names == load("v1").class_names
    assert texts(control) == texts(control_set(name, load("v1@2"), seed=3))


@pytest.mark.parametrize("name", list(CONTROLS))
def test_a_control_has_the_provenance_of_its_set(name: str) -> None:
    seen = (Seen(dataset="dfew", fingerprint="ab", folds=(2, 3)),)
    assert control_set(name, draft(seen=seen)).manifest.seen == seen


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "swapped"])
def test_a_control_has_as_many_members_and_descriptors(name: str) -> None:
    for of in (load("v1"), uneven()):
        assert shape(control_set(name, of)) == shape(of)


@pytest.mark.parametrize("name", ["random-words", "random-characters", "scrambled"])
@pytest.mark.parametrize("seed", range(3))
def test_every_descriptor_has_exactly_as_many_tokens(name: str, seed: int) -> None:
    for of in (load("v1"), uneven()):
        assert tokens(control_set(name, of, seed)) == tokens(of)


@pytest.mark.parametrize("name", ["random-words", "random-characters", "scrambled"])
def test_every_description_has_exactly_as_many_tokens(name: str) -> None:
    of = load("v1")
    ours, theirs = (each.class_texts(of.class_names) for each in (control_set(name, of), of))
    assert [len(CLIP.encode(text)) for (text,) in ours] == [len(CLIP.encode(text)) for (text,) in theirs]


@pytest.mark.parametrize("name", [name for name in CONTROLS if "name" not in name and "template" not in name])
def test_controls_differ_by_seed(name: str) -> None:
    assert len({control_set(name, load("v1"), seed).sha256 for seed in range(5)}) == 5


def test_class_name_is_repeated_to_the_descriptors_length() -> None:
    of = draft(
        {"happiness": [["raised cheeks", "a very wide smile"]], "anger_disgust": [["a frown", "lips"]]}
    )
    # "anger and disgust" is three tokens: nearer to two and to one than six are.
    assert texts(control_set("class-name", of)) == {
        "happiness": [["happiness happiness", "happiness happiness happiness happiness"]],
        "anger_disgust": [["anger and disgust", "anger and disgust"]],
    }


def test_template_sentence_is_repeated_if_the_length_is_nearer() -> None:
    # The sentence is four tokens: six are as near to it once as twice, seven nearer to twice.
    of = draft({"fear": [["tears", "one two three four five six", "one two three four five six seven"]]})
    once = "an expression of fear"
    assert texts(control_set("template-sentence", of)) == {"fear": [[once, once, f"{once} {once}"]]}


@pytest.mark.parametrize(
    ("name", "template"), [("class-name", "{}"), ("template-sentence", "an expression of {}")]
)
def test_controls_use_the_words_of_an_own_class_set(tmp_path: object, name: str, template: str) -> None:
    own = f"{tmp_path}/own.yaml"
    with open(own, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write("name: own\nclasses: [{name: x1, words: quiet pride}, fear]")
    made = draft({"x1": [["a smile"]], "fear": [["tears"]]}, class_set=load_class_set(own).as_manifest())
    assert texts(control_set(name, made)) == {
        "x1": [[template.format("quiet pride")]],
        "fear": [[template.format("fear")]],
    }


def test_random_words_are_not_about_faces() -> None:
    listed = files("dfer_prompts.generation").joinpath("words.txt").read_text().split("\n", 1)[1].split()
    assert len(set(listed)) == len(listed) > 700
    assert [word for word in listed if len(CLIP.encode(word)) != 1] == []
    looks = {look.visible for entry in facs_table().classes.values() for look in entry.looks}
    described = {word for look in looks for word in re.findall("[a-z]+", look)} | set(words(load("v1")))
    assert set(listed) & (FACE | described) == set()
    assert set(words(control_set("random-words", load("v1")))) <= set(listed)


def test_random_characters_are_letters_and_no_words_of_the_set() -> None:
    of = load("v1")
    control = control_set("random-characters", of)
    assert all(re.fullmatch("[a-z]+", word) for word in words(control))
    assert sum(words(control).values()) == sum(words(of).values())
    assert set(words(control)) & set(words(of)) == set()


def test_shared_random_is_one_text_for_all_of_the_mean_length() -> None:
    of = load("v1")
    control = control_set("shared-random", of)
    (sentence,) = {text for (text,) in control.class_texts(of.class_names)}
    places = list(zip(*(member for (member,) in tokens(of).values()), strict=True))
    expected = [round(sum(counts) / len(counts)) for counts in places]
    assert tokens(control)["happiness"] == [expected]
    assert sentence.endswith(".")


def test_shared_random_of_an_uneven_set_shares_the_common_part() -> None:
    shared = texts(control_set("shared-random", uneven()))
    assert shared["fear"][0] == shared["anger"][0][:1] == shared["happiness"][0][:1]
    assert shared["anger"][0] == shared["happiness"][0][:2]


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


def test_scrambled_keeps_words_and_mixes_classes() -> None:
    of = load("v1")
    scrambled = control_set("scrambled", of, seed=1)
    assert words(scrambled) == words(of)
    own = {name: {word for each in texts(of)[name][0] for word in each.split()} for name in of.class_names}
    strangers = sum(
        word not in own[name]
        for name, listed in texts(scrambled).items()
        for each in listed[0]
        for word in each.split()
    )
    assert strangers > words(of).total() / 2


def test_scrambled_swaps_only_words_of_equal_length() -> None:
    of = draft({"happiness": [["zygomaticus smile"]], "anger": [["tears"]]})
    for seed in range(5):
        assert texts(control_set("scrambled", of, seed)) == {
            "happiness": [["zygomaticus tears"]],
            "anger": [["smile"]],
        }


def test_a_set_without_a_possible_control_is_an_error() -> None:
    alike = draft({"happiness": [["zygomaticus"]], "anger": [["tears"]]})
    with pytest.raises(InputError, match="no two words have the same number"):
        control_set("scrambled", alike)
    with pytest.raises(InputError, match="at least two classes"):
        control_set("swapped", draft({"happiness": [["a smile"]]}))
