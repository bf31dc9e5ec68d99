"""Editing: a round trip without a loss, support kept where it belongs, and faults named with their line."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_prompts import DescriptionSet, Descriptor
from dfer_prompts.errors import InputError
from dfer_prompts.versions.edit import as_text, edited

from ..drafts import draft

ODD = [
    "yes", "no", "null", "~", "12:30", "0x1F", "1e3", "2001-01-01", "2001-13-45", "- x", "a: b", "x #y",
    "# x", ": ", "'", '"', "it's \"so\"", "🙂", "张开的嘴", "<b>", "{{ x }}", "[a, b]", "&a", "*a", "!t",
    "|", ">", "%", "@", "`", "?", "? x", "---", "...", "\\n", "  indented", "trailing ", "<<", "=",
    "x" * 5000, "word " * 400 + "end",
]  # fmt: skip


def test_the_text_to_edit() -> None:
    text = as_text(replace(draft(), name="v2"))
    comments, body = text.split("\n\n")
    assert comments.startswith("# Description set v2\n")
    assert all(line.startswith("#") for line in comments.splitlines())
    assert body == (
        "happiness:\n- a smile\n- raised cheeks\n- bright eyes\n"
        "anger:\n- - a frown\n  - narrow eyes\n- - a glare\n  - tight lips\n"
    )


def test_an_unchanged_text_changes_nothing() -> None:
    parent = draft({"null": [ODD], "yes": [ODD, ODD[::-1]], "12:30": [["a"]]})
    again = edited(parent, as_text(parent))
    assert again == parent
    assert again.sha256 == parent.sha256
    windows = "\ufeff" + as_text(parent).replace("\n", "\r\n")
    assert edited(parent, windows.removeprefix("\ufeff")) == parent


PRINTABLE = st.text(st.characters().filter(str.isprintable), min_size=1).filter(str.strip)


@settings(deadline=None, max_examples=50)
@given(st.lists(PRINTABLE, min_size=1))
def test_any_descriptor_can_be_edited(texts: list[str]) -> None:
    parent = draft({"joy": [texts]})
    assert edited(parent, as_text(parent)) == parent


def parent_with_support() -> DescriptionSet:
    member = (
        Descriptor("a smile", 1, 5, 6, ("smile",)),
        Descriptor("raised cheeks", 2, 3, 6),
        Descriptor("tears", 3, 1, 6),
    )
    return replace(
        draft({"joy": [["x"]]}, model="m", sampling={"seed": 1}), name="v2@3", members={"joy": (member,)}
    )


def test_unchanged_texts_keep_their_support() -> None:
    made = edited(parent_with_support(), "joy: [tears, Smile, cheek raising, white teeth]", message="tidy")
    assert made.members["joy"] == (
        (
            Descriptor("tears", 1, 1, 6),
            Descriptor("Smile", 2, 5, 6, ("a smile", "smile")),  # one normal form
            Descriptor("cheek raising", 3, 3, 6, ("raised cheeks",)),
            Descriptor("white teeth", 4, 0, 6),
        ),
    )
    manifest = made.manifest
    assert (manifest.source, manifest.model, manifest.sampling) == ("llm", "m", {"seed": 1})
    assert manifest.parents == ["v2@3"]
    assert manifest.parent_sha256 == {"v2@3": parent_with_support().sha256}
    assert manifest.derivation == {
        "command": "edit", "added": 1, "reworded": 2, "moved": 1, "message": "tidy",
    }  # fmt: skip


def test_members_can_be_added_and_removed() -> None:
    parent = draft()
    split = edited(parent, "anger: [a glare]\nhappiness:\n- [a smile]\n- [raised cheeks, dimples]\n")
    assert split.class_names == ("happiness", "anger")  # the parent's order
    assert split.members["happiness"] == (
        (Descriptor("a smile", 1),), (Descriptor("raised cheeks", 1), Descriptor("dimples", 2, 0, 1)),
    )  # fmt: skip
    assert split.members["anger"] == ((Descriptor("a glare", 1),),)


def test_an_edited_control_is_not_a_control() -> None:
    parent = draft({"joy": [["x"]]}, source="control:swapped", control="swapped")
    made = edited(parent, "joy: [y]").manifest
    assert (made.source, made.control) == ("mixed", None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("joy: [a\nfear: [b]\n", "E is not valid YAML: line 2"),
        ("", "E must have each class with its list"),
        ("- joy", "E must have each class"),
        ("joy: [a]\n", "E lacks the class 'fear'"),
        ("joy: [a]\nfeer: [b]\n", "E, line 2: no class 'feer'; did you mean fear?"),
        ("joy: [a]\nfear: [b]\njoy: [c]\n", "E, line 3: duplicate class 'joy'"),
        ("joy: [a]\nfear:\n", "E, line 2: the class 'fear' has no descriptor"),
        ("joy: [a]\nfear: []\n", "E, line 2: the class 'fear' has no descriptor"),
        ("joy: [a]\nfear: wide eyes\n", "E, line 2: the class 'fear' has no list of descriptors"),
        ("joy: [a]\nfear:\n- [b]\n- []\n", "E, line 4: a description of 'fear' has no descriptor"),
        ("joy: [a]\nfear:\n- b\n-\n", "E, line 4: under 'fear', an empty descriptor"),
        ("joy: [a]\nfear:\n- b\n- ' '\n", "E, line 4: under 'fear', an empty descriptor"),
        ("joy: [a]\nfear:\n- eyes: wide\n", "E, line 3: under 'fear', a text contains \": \""),
        ("joy: [a]\nfear:\n- b\n- [c]\n", "E, line 4: under 'fear', a list between texts"),
        ("joy:\n- a\x1b[2J\nfear: [b]\n", "E, line 2 contains a control character"),
        ('joy:\n- "a\\x1b[2J"\nfear: [b]\n', "E, line 2: under 'joy', a hidden character (U+001B"),
        ("joy:\n- a\xa0b\nfear: [b]\n", "E, line 2: under 'joy', a hidden character (U+00A0, no-break"),
        ("joy:\n- |\n  a\n  b\nfear: [b]\n", "E, line 2: under 'joy', a hidden character (U+000A"),
        ("? [x]\n: [a]\n", "E, line 1: no class '?'"),
        ("joy: &x [*x]\nfear: [b]\n", "E is not valid YAML: line 1: the alias *x is part of"),
        ("[" * 100_000, "E is not valid YAML"),
    ],
)  # fmt: skip
def test_errors_are_reported_with_their_line(text: str, fault: str) -> None:
    parent = draft({"joy": [["a"]], "fear": [["b"]]})
    with pytest.raises(InputError) as caught:
        edited(parent, text, "E")
    assert str(caught.value).startswith(fault)


def test_values_that_yaml_reads_as_other_types_are_text() -> None:
    made = edited(draft({"joy": [["a"]]}), "joy:\n- no\n- 12:30\n- ~\n- 2001-13-45\n- !!int x\n")
    assert [each.text for each in made.members["joy"][0]] == ["no", "12:30", "~", "2001-13-45", "x"]
    assert yaml.safe_load("- no") == [False]  # which is why


def test_a_class_name_in_another_unicode_form_is_the_same_class() -> None:
    parent = draft({unicodedata.normalize("NFD", "gêné"): [["a blush"]]})
    again = edited(parent, unicodedata.normalize("NFC", "gêné:\n- averted eyes\n"))
    assert again.class_names == parent.class_names
    assert [each.text for each in again.members[parent.class_names[0]][0]] == ["averted eyes"]
