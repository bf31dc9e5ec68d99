"""YAML that a person wrote: what it holds, or a sentence with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.errors import InputError
from dfer_prompts.yaml_files import key_lines, parse_yaml, read_yaml


def read(text: str) -> dict[str, object]:
    Path("a.yaml").write_text(text, encoding="utf-8")
    return read_yaml(Path("a.yaml"), "it has two keys")


def test_a_mapping_is_read() -> None:
    assert read("a: 1\nb: [x, é]\n") == {"a": 1, "b": ["x", "é"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a.yaml is empty; it has two keys"),
        ("- a", "a.yaml is not a mapping; it has two keys"),
        ("text", "a.yaml is not a mapping; it has two keys"),
        ("a: 1\nb: [", "a.yaml is not valid YAML: line 2: "),
        ("a: 1\n\tb: 2", "a.yaml is not valid YAML: line 2: "),
        ("a: 1\nb: c: d", "a.yaml is not valid YAML: line 2: "),
        ("a: !!python/name:os.system x", "a.yaml is not valid YAML: line 1: "),
        ("a: !!bool x", "a.yaml is not valid YAML: a `!!` tag does not fit its value"),
        ("a: !!timestamp x", "a.yaml is not valid YAML: a `!!` tag does not fit its value"),
        ("a: !!int ''", "a.yaml is not valid YAML: a `!!` tag does not fit its value"),
        ("a: 2024-13-45", "a.yaml is not valid YAML: month must be in 1..12"),
        ("? [a]\n: b", "a.yaml is not valid YAML: line 1: "),
        ("a: \x00", "a.yaml is not valid YAML: "),
        ("[" * 5000, "a.yaml is not valid YAML: "),
    ],
)
def test_what_is_no_mapping_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_a_sentence_and_no_file_is_its_own_error() -> None:
    Path("a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match=r"a\.yaml is not valid YAML: not UTF-8 text \(byte 3\)"):
        read_yaml(Path("a.yaml"), "")
    with pytest.raises(FileNotFoundError):
        read_yaml(Path("none.yaml"), "")


def test_lines_are_those_of_the_file_the_text_stands_in() -> None:
    text = "a: 1\n# no key: here\nb:\n  c: 2\n"
    assert key_lines(text, first_line=2) == {"a": 2, "b": 4}
    assert key_lines("- a") == {}
    with pytest.raises(InputError, match=r"^the header is not valid YAML: line 8: "):
        parse_yaml("a: 1\nb: [", "the header", first_line=7)
