"""List markers in imported texts: removed, or rejected if they contradict the position of the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...classes import match_class_name
from ...description_set import Descriptor
from ...errors import InputError
from ...list_marks import list_number, titled, without_mark
from .file_content import Content, Members


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
