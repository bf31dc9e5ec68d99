"""Class sets: what is shipped, what names mean, and files of one's own."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dfer_prompts import InputError, class_set_names, load_class_set
from dfer_prompts.classes import canonical_class_name, class_set_of, match_class_name

SEVEN = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
ELEVEN = (*SEVEN, "contempt", "anxiety", "helplessness", "disappointment")


def write(text: str) -> str:
    Path("mine.yaml").write_text(text, encoding="utf-8")
    return "mine.yaml"


def test_shipped_sets_have_the_order_of_the_paper() -> None:
    assert class_set_names() == ["dfew", "ferv39k", "mafw", "mafw-compound"]
    assert load_class_set("dfew").names == load_class_set("ferv39k").names == SEVEN
    assert load_class_set("mafw").names == ELEVEN
    compound = load_class_set("mafw-compound").names
    assert len(compound) == 43
    assert compound[:11] == ELEVEN
    assert list(compound[11:]) == sorted(compound[11:])


def test_compound_classes_are_those_of_the_published_split(test_data: Path) -> None:
    path = test_data / "annotations/mafw/compound/no_caption/set_1/test.txt"
    published = {line.split()[1] for line in path.read_text(encoding="utf-8").splitlines()}
    assert set(load_class_set("mafw-compound").names) == published


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("happiness", "happiness"), ("Happy", "happiness"), ("SAD", "sadness"), ("Angry", "anger"),
        ("fearful", "fear"), ("surprised", "surprise"), ("Disgusted", "disgust"), (" Neutral ", "neutral"),
        ("Angry_Disgusted", "anger_disgust"), ("anger disgust", "anger_disgust"),
    ],
)  # fmt: skip
def test_aliases_resolve_by_name(text: str, name: str) -> None:
    assert load_class_set("mafw-compound").resolve(text).name == name
    assert canonical_class_name(text) == name


def test_an_unknown_name_does_not_resolve() -> None:
    assert canonical_class_name("Mild Joy") == "Mild Joy"
    with pytest.raises(
        InputError, match=r"no class 'angre' in dfew; did you mean anger\?\nThere are: happiness"
    ):
        load_class_set("dfew").resolve("angre")


def test_words_of_compound_classes_are_a_phrase() -> None:
    compound = load_class_set("mafw-compound")
    assert compound.resolve("anger_disgust").words == "anger and disgust"
    assert compound.resolve("fear_sadness_anxiety").words == "fear, sadness, and anxiety"


def test_an_own_file_gives_names_words_and_aliases() -> None:
    path = write(
        "name: mine\nclasses:\n  - mild_joy\n  - {name: Angry, aliases: [furious]}\n"
        "  - {name: x1, words: quiet pride}\n"
    )
    mine = load_class_set(path)
    assert mine.name == "mine"
    assert [(each.name, each.words) for each in mine.classes] == [
        ("mild_joy", "mild joy"), ("Angry", "anger"), ("x1", "quiet pride"),
    ]  # fmt: skip
    assert mine.resolve("FURIOUS").name == "Angry"
    assert mine.resolve("anger").name == "Angry"


def test_own_names_take_precedence_over_shipped_aliases() -> None:
    mine = load_class_set(write("name: mine\nclasses: [happy, joy]"))
    assert mine.resolve("joy").name == "joy"
    assert mine.resolve("Happy").name == "happy"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "is not a mapping"),
        ("name: [", "is not valid YAML"),
        ("name: mine", "classes: Field required"),
        ("name: mine\nclasses: [a]", "at least two are required, not 1"),
        ("name: mine\nclasses: [joy, Joy]", "'joy' stands for both 'joy' and 'Joy'"),
        ("name: mine\nclasses: [joy, {name: b, aliases: [JOY]}]", "'joy' stands for both 'joy' and 'b'"),
        ("name: mine\nclasses: [joy, yes]", "put them in quotes"),
        ("name: mine\nclasses: [joy, {name: b, word: c}]", "classes, item 2, word: Extra inputs"),
        ("name: mine\nclasses: [joy, ../b]", "is not a valid folder name"),
        ('name: mine\nclasses: [joy, "b\\nc"]', "line break or control character"),
    ],
)
def test_an_invalid_file_is_an_error_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=r"^mine\.yaml") as caught:
        load_class_set(write(text))
    assert complaint in str(caught.value)


def test_a_file_that_is_not_text_is_an_error() -> None:
    Path("mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"mine\.yaml is not valid YAML"):
        load_class_set("mine.yaml")


def test_an_unknown_set_is_an_error_that_lists_the_sets() -> None:
    with pytest.raises(
        InputError, match=r"did you mean mafw\?\nThere are: dfew, ferv39k, mafw, mafw-compound"
    ):
        load_class_set("mawf")
    with pytest.raises(InputError, match=r"no class set file other\.yaml"):
        load_class_set("other.yaml")


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_both_unicode_forms_are_equal(forms: tuple[str, str]) -> None:
    """macOS hands out names of folders in NFD, keyboards write NFC."""
    one, other = (unicodedata.normalize(form, "gêné") for form in forms)
    assert one != other
    assert match_class_name(one, ["joy", other]) == other
    assert class_set_of("own", ["joy", other]).resolve(one.title()).name == other
    with pytest.raises(InputError, match="stands for both"):
        class_set_of("own", [one, other])
