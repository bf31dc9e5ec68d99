"""YAML that a person wrote: what it holds, or a sentence with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.errors import InputError
from dfer_prompts.yaml_files import key_lines, parse_yaml, read_yaml

TOO_MANY = "aliases stand for more than 100000 values and characters"
# Each list (or mapping) stands for seven (or three) of the one before it: 7^12 values at the end.
DOUBLED = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 7)}]\n" for n in range(1, 13))
MERGED = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 3)}]}}\n" for n in range(1, 13)
)
LONG = f"a: &a {'x' * 20_000}\nb: [{', '.join(['*a'] * 6)}]\n"


def read(text: str) -> dict[str, object]:
    Path("a.yaml").write_text(text, encoding="utf-8")
    return read_yaml(Path("a.yaml"), "it has two keys")


def test_a_mapping_is_read() -> None:
    assert read("a: 1\nb: [x, é]\n") == {"a": 1, "b": ["x", "é"]}


def test_aliases_and_merged_keys_are_read_as_usual() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n"
    assert read(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}


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
def test_yaml_without_a_mapping_is_an_error(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: {c: 1, d: 2,\n  c: 3}", "line 3: the key 'c' is there a second time"),
        ("a: &x [b, *x]", "line 1: the alias *x is part of what it stands for"),
        (DOUBLED, f"line 7: {TOO_MANY}"),
        (MERGED, f"line 10: {TOO_MANY}"),
        (LONG, f"line 2: {TOO_MANY}"),
        ("a: 1" + ":59" * 60, "line 1: a number of more than 100 characters"),
        ("a: 1" + ":59" * 60 + ".5", "line 1: a number of more than 100 characters"),
        ("a: .inf\nb: !!int 0x" + "f" * 200, "line 2: a number of more than 100 characters"),
        ("\n".join("  " * depth + "a:" for depth in range(1500)), "it is nested too deep"),
    ],
)
def test_hostile_yaml_is_an_error(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert str(error.value) == f"a.yaml is not valid YAML: {says}"


def test_binary_and_missing_files_are_errors() -> None:
    Path("a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match=r"a\.yaml is not valid YAML: not UTF-8 text \(byte 3\)"):
        read_yaml(Path("a.yaml"), "")
    with pytest.raises(FileNotFoundError):
        read_yaml(Path("none.yaml"), "")


def test_line_numbers_are_those_of_the_file() -> None:
    text = "a: 1\n# no key: here\nb:\n  c: 2\n"
    assert key_lines(text, first_line=2) == {"a": 2, "b": 4}
    assert key_lines("- a") == {}
    with pytest.raises(InputError, match=r"^the header is not valid YAML: line 8: "):
        parse_yaml("a: 1\nb: [", "the header", first_line=7)
