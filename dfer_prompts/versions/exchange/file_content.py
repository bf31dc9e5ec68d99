"""The content of an imported file: texts checked to be one printable line.

List markers in imported texts: removed, or rejected if they contradict the position of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ...classes import match_class_name
from ...description_set import Descriptor
from ...errors import InputError
from ...list_marks import list_number, titled, without_mark

Members = list[list[Descriptor]]
LONGEST = 2000  # characters of a descriptor; CLIP reads about 300
LARGEST = 16 * 2**20  # bytes of a file: a hundred thousand descriptors

_MARKS = {b"\xff\xfe\x00\x00": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True)
class Content:
    """Class name as in the file -> members, and messages about what was changed or ignored."""

    members: dict[str, Members]
    notes: list[str] = field(default_factory=list)


def decoded(data: bytes, where: str) -> str:
    """The file as text. Raises InputError, with the actual encoding if known, if it is not UTF-8."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise InputError(f"{where} is {encoding} text\nSave it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{where}, line {line} is not UTF-8 text (byte {error.start}), perhaps Latin-1\nSave it as UTF-8"
        ) from error
    if not text.strip():
        raise InputError(f"{where} is empty")
    return text


def one_line(value: object, where: str) -> str:
    """The text as one line with single spaces. Raises InputError if it is not valid text.

    >>> one_line(" raised\\u00a0cheeks ", "")
    'raised cheeks'
    """
    if not isinstance(value, str):
        raise InputError(f"{where} is {_kind(value)}, not text")
    line = " ".join(value.split())
    if not line:
        raise InputError(f"{where} is empty")
    if len(line) > LONGEST:
        raise InputError(f"{where} has {len(line)} characters; the maximum is {LONGEST}")
    for char in line:
        if not char.isprintable():
            raise InputError(f"{where} contains an unprintable character, U+{ord(char):04X}: {line[:60]!r}")
    return line


def ranked(texts: Sequence[str]) -> list[Descriptor]:
    """The descriptors of a member, ranked in this order."""
    return [Descriptor(text, rank) for rank, text in enumerate(texts, start=1)]


def _kind(value: object) -> str:
    kinds = {type(None): "nothing", dict: "a mapping", list: "a list", bool: "true or false"}
    return kinds.get(type(value), f"the {type(value).__name__} {value!r}"[:60])


def unmarked(content: Content, where: str) -> Content:
    """The content without list markers and class names before its texts; a note counts the changed texts.

    Raises InputError for a text that is only a marker, or that begins with the name of another class.
    """
    names = [without_mark(name) for name in content.members]
    for name, given in zip(names, content.members, strict=True):
        if not name or names.count(name) > 1:
            raise InputError(f"{where}: {given!r} is not a class name, or is duplicated")
    members: dict[str, Members] = {}
    changed = 0
    for name, listed in zip(names, content.members.values(), strict=True):
        place = f"{where}: under the class {name!r}"
        members[name] = [
            [replace(each, text=text_of_class(each.text, name, names, place)) for each in member]
            for member in listed
        ]
        changed += _differing(listed, members[name])
    notes = [f"list markers (1. or -) or class names were removed from {changed} texts"] if changed else []
    return Content(members, [*content.notes, *notes])


def text_of_class(text: str, class_name: str, class_names: Sequence[str], where: str) -> str:
    """The text without list markers and the name of its class before it ("1. Happy: ").

    Raises InputError if nothing is left, or if the name is that of another class.
    """
    bare = without_mark(text)
    title, rest = titled(bare) or ("", "")
    named = match_class_name(title, class_names) if title else None
    if named == class_name:
        bare = without_mark(rest)
    elif named is not None:
        raise InputError(f"{where}, a text begins with the name of another class: {text[:60]!r}")
    if not bare:
        raise InputError(f"{where}, a text has no words: {text[:60]!r}")
    return bare


def require_order(lines: Iterable[tuple[int, str]], where: str) -> None:
    """Raise InputError if lines are numbered, but not consecutively from 0 or 1."""
    numbered = [(line, number) for line, text in lines if (number := list_number(text)) is not None]
    for place, (line, number) in enumerate(numbered):
        if number != numbered[0][1] + place or numbered[0][1] > 1:
            raise InputError(
                f"{where}, line {line} has the list number {number}: the lines are not in class order"
                "\nPut the lines in the order of the classes, without numbers"
            )


def _differing(before: Sequence[Sequence[Descriptor]], after: Sequence[Sequence[Descriptor]]) -> int:
    pairs = zip(
        (each for member in before for each in member),
        (each for member in after for each in member),
        strict=True,
    )
    return sum(one.text != other.text for one, other in pairs)
