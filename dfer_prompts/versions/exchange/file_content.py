"""The content of an imported file: texts checked to be one printable line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...description_set import Descriptor
from ...errors import InputError

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
