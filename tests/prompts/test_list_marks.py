"""Marks that texts keep from the lists they were copied from: taken off or refused, and never kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_prompts import InputError, edited, load, load_class_set
from dfer_prompts.list_marks import without_mark

from .exchanging import members, read

MARKED = [
    ("1. raised cheeks", "raised cheeks"),
    ("12) raised cheeks", "raised cheeks"),
    ("(3) raised cheeks", "raised cheeks"),
    ("[4] raised cheeks", "raised cheeks"),
    ("- raised cheeks", "raised cheeks"),
    ("* raised cheeks", "raised cheeks"),
    ("• raised cheeks", "raised cheeks"),
    ("– raised cheeks", "raised cheeks"),
    ("a) raised cheeks", "raised cheeks"),
    ("- [x] raised cheeks", "raised cheeks"),
    ("1. - raised cheeks", "raised cheeks"),
    ("happiness: raised cheeks", "raised cheeks"),
    ("**Happy**: raised cheeks", "raised cheeks"),
    ("**joy:** raised cheeks", "raised cheeks"),
    ("1. Happiness - raised cheeks", "raised cheeks"),
    # These are words of the text.
    ("-x", "-x"),
    ("1.5 cm between the brows", "1.5 cm between the brows"),
    ("10 lines on the forehead", "10 lines on the forehead"),
    ("Mouth: corners raised", "Mouth: corners raised"),
    ("happiness in the eyes", "happiness in the eyes"),
    ("wide - very wide - eyes", "wide - very wide - eyes"),
    ("a smile", "a smile"),
]


@pytest.mark.parametrize(("given", "kept"), MARKED)
@pytest.mark.parametrize("kind", ["json", "csv", "yaml", "txt"])
def test_list_marks_are_removed_from_a_text(tmp_path: Path, kind: str, given: str, kept: str) -> None:
    if kind == "txt" and given[:1] in "1([M" and given[1:3] != ". ":  # numbers of lines begin with 1
        given, kept = "1. a smile", "a smile"
    if kind == "csv":
        content = f'class_name,descriptor\nhappiness,"{given}"\nanger,a frown\n'
    elif kind == "txt":
        content = f"{given}.\na frown.\n"
    else:
        content = json.dumps({"happiness": [given], "anger": ["a frown"]})
    (tmp_path / "two.yaml").write_text("name: two\nclasses: [happiness, anger]", encoding="utf-8")
    found = read(tmp_path, f"x.{kind}", content, str(tmp_path / "two.yaml"))
    assert members(found.draft) == {"happiness": [[kept]], "anger": [["a frown"]]}
    if kind != "txt":
        assert found.notes == (
            [] if given == kept else ["list markers (1. or -) or class names were removed from 1 texts"]
        )


@pytest.mark.parametrize("mark", ["{0}. ", "{0}) ", "- ", "{name}: ", "{0}. **{name}**: ", "{0}. '"])
def test_numbers_are_removed_from_a_list_of_sentences(tmp_path: Path, mark: str) -> None:
    dfew, v1 = load_class_set("dfew"), load("v1@3")
    lines = [
        mark.format(number, name=name) + v1.description(name) + ("'," if mark.endswith("'") else "")
        for number, name in enumerate(dfew.names, start=1)
    ]
    found = read(tmp_path, "x.txt", "\n".join(lines), "dfew").draft
    assert found.members == {name: v1.members[name] for name in dfew.names}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("x.txt", "2. a smile.\n1. a frown.\n", "line 1 has the list number 2"),
        ("x.txt", "1. a smile.\n3. a frown.\n", "line 2 has the list number 3"),
        ("x.txt", "anger: a frown.\nhappiness: a smile.\n", "name of another class: 'anger: a frown.'"),
        ("x.json", '{"happiness": ["a smile", "anger: x"], "anger": ["a frown"]}', "name of another class"),
        ("x.json", '{"happiness": ["a smile", "-"], "anger": ["a frown"]}', "has no words: '-'"),
        ("x.json", '{"happiness": ["1."], "anger": ["a frown"]}', "has no words: '1.'"),
        ("x.json", '{"happiness": ["happiness:"], "anger": ["a frown"]}', "has no words: 'happiness:'"),
        ("x.json", '{"1. anger": ["x"], "2. anger": ["y"]}', "'1. anger' is not a class name, or is dupl"),
    ],
)
def test_a_list_number_that_contradicts_its_position_is_refused(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    (tmp_path / "two.yaml").write_text("name: two\nclasses: [happiness, anger]", encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, name, content, str(tmp_path / "two.yaml"))


def test_list_marks_are_removed_from_class_names(tmp_path: Path) -> None:
    found = read(tmp_path, "x.json", '{"1. happiness": ["a smile"], "- anger": ["a frown"]}')
    assert found.draft.class_names == ("happiness", "anger")


@pytest.mark.parametrize("item", ["1. happiness", "'- happiness'", "{name: happiness, words: '2) joy'}"])
def test_a_class_set_with_list_marks_in_its_names_is_refused(tmp_path: Path, item: str) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"name: two\nclasses:\n- {item}\n- anger\n", encoding="utf-8")
    with pytest.raises(InputError, match="begins with a list marker: remove it"):
        load_class_set(str(path))


@pytest.mark.parametrize("text", ["1. a smile", "'- a smile'", "'happiness: a smile'", "'Happy - a smile'"])
def test_an_edit_with_a_list_mark_is_refused(text: str) -> None:
    two = load("v1@1")
    lines = [f"{name}:\n- {text if name == 'happiness' else 'eyes'}" for name in two.class_names]
    with pytest.raises(InputError, match="under 'happiness', a text begins with a list marker"):
        edited(two, "\n".join(lines))


def test_a_list_mark_alone_is_an_empty_text() -> None:
    assert [without_mark(text) for text in ("-", "1.", "- 2) ", "", "x", "1. x")] == [
        "",
        "",
        "",
        "",
        "x",
        "x",
    ]
