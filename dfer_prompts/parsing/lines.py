"""Classify the lines of an answer: titles, list items, table rows, and plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from . import tables

_SIGN = "[-*+•‣⁃◦▪▫●○·∙–—・➤➢►▶▸→⇒»✓✔☑■□◆◇★☆‐]"
_BULLET = re.compile(
    r"^(?P<indent>\s*)(?:\*\*|__)?(?:"
    rf"{_SIGN}"
    r"|(?:(?:feature|descriptor|cue|sign|item|point)\s{1,3}#?)?\(?(?P<number>\d{1,2}(?:\.\d{1,2}){0,3})[.):\]]"
    r"|\d{1,2}\s{0,3}[-–—](?=\s)|#\d{1,2}[.:)]?(?=\s)"
    r"|(?P<decimal>\d{1,2}(?:\.\d{1,2}){1,3})(?=\s)"
    r"|\(?(?:[ivxIVX]{1,5}|[a-zA-Z])[.)]"
    r")(?:\*\*|__)?(?:\s+|(?=[^\x00-\x7f])|(?<=\d[.)])(?=[^\W\d_]))(?P<text>\S.*)$",
    re.IGNORECASE,
)
_CHECK_BOX = re.compile(r"^\[[ xX✓✔]?\]\s+")
_EMPTY_BULLET = re.compile(rf"^\s*(?:{_SIGN}|\(?\d{{1,2}}[.)])\s*$")
_TITLE = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<heading>.+?)[\s#]*|(?P<bold>(?:\*\*|__)[^*_]+(?:\*\*|__)\s*:?))\s*$"
)
_QUOTE = re.compile(r"^\s{0,3}>\s?")
_EXPLANATION_BELOW = re.compile(r"^\s*:\s+(?=\S)")
_LIST_ANNOUNCED = re.compile(r"^([^:]{1,200}:)\s+(\(?1[.)]\s.*)$")
_SPEAKER = re.compile(r"^\s*(?:A|Answer|Assistant|Response|Output)\s*:\s*", re.IGNORECASE)
_MARK_INSIDE = re.compile(
    r"(?:^|(?<=[\s,;.:]))(?:and\s+)?\(?(?P<mark>\d|[a-h]|i{1,3}|i?v|vi{1,3}|i?x)[.)]\s+", re.IGNORECASE
)
_MARKS = ("123456789", "abcdefgh", ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"))
_COMMENTED = re.compile(r"(?:ya?ml|toml|python|py|sh|bash|ini|conf)\s*$", re.IGNORECASE)
_NUMBER_INSIDE = re.compile(r"(?:^|(?<=[\s,;.:]))(?:and\s+)?\(?\d{1,2}[.)]\s+")
_BULLET_INSIDE = re.compile(r"\s+[•‣◦▪●○➤►▶■◆★*]\s+")
_LONG_LINE = 60  # characters; shorter lines were not wrapped


Kind = Literal["title", "bullet", "plain"]


@dataclass(frozen=True)
class Line:
    """A line of an answer; `indent` is in spaces."""

    kind: Kind
    text: str
    indent: int = 0


def lines_of(text: str, class_name: str | None = None) -> list[Line]:
    """All lines with content, table rows as items "first column: second column".

    Of a table that compares classes, only the part on `class_name` is used.
    """
    raw = [_QUOTE.sub("", line).expandtabs(4).rstrip() for line in _without_fences(text.splitlines())]
    found: list[Line] = []
    index = 0
    while index < len(raw):
        table = tables.read(raw, index, class_name)
        if table:
            found += [Line("bullet", item) for item in table.items]
            index += table.length
            continue
        line, follows = raw[index], index > 0 and bool(raw[index - 1].strip())
        index += 1
        if line.strip() and not tables.is_rule(line) and not _continues(found, line, follows):
            found += (item for item in _line(line) if item.text.strip())
    return found


def _without_fences(lines: list[str]) -> Iterator[str]:
    """The lines without code fences and without comments in code."""
    in_code = False
    for line in lines:
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code and _COMMENTED.search(line) is not None
        elif not (in_code and line.lstrip().startswith("#")):
            yield line


def inside(text: str, *, begun: bool = False) -> list[str]:
    """The items of a list written in one line, separated by numbers, letters or bullets.

    `begun`: the marker of the first item has already been removed.
    """
    for pattern in (_BULLET_INSIDE, _NUMBER_INSIDE):
        parts = [part.strip(" ,;") for part in pattern.sub("\0", text).split("\0")]
        if len(parts) > 2 or (len(parts) == 2 and not parts[0]):
            return [part for part in parts if part]
    return _between_marks(text, begun) if ")" in text or "." in text else [text]


def _between_marks(text: str, begun: bool) -> list[str]:
    """The items between consecutive numbers or letters: "a) smile lines b) raised cheeks"."""
    found = list(_MARK_INSIDE.finditer(text))
    marks = [mark["mark"].lower() for mark in found]
    if len(marks) + begun < 2 or marks not in [list(run[begun : begun + len(marks)]) for run in _MARKS]:
        return [text]
    starts, ends = [0, *(mark.end() for mark in found)], [*(mark.start() for mark in found), len(text)]
    parts = [text[start:end].strip(" ,;") for start, end in zip(starts, ends, strict=True)]
    return [part for part in parts if part]


def _line(line: str) -> Iterator[Line]:
    line = _SPEAKER.sub("", line)
    announced = _LIST_ANNOUNCED.match(line)
    if announced:
        yield Line("plain", announced[1].strip())
        line = announced[2]
    title = _TITLE.match(line)
    if title:
        yield Line("title", title["heading"] or title["bold"])
        return
    marked, indent = _unmarked(line)
    if marked is not None:
        yield from (Line("bullet", part, indent) for part in inside(marked, begun=True))
    elif line.count("|") > 1 and line.lstrip().startswith("|"):
        yield Line("bullet", ": ".join(tables.split_row(line)[:2]))
    elif line.strip() and not _EMPTY_BULLET.match(line):
        kind: Kind = "bullet" if _BULLET_INSIDE.search(line) else "plain"
        parts = inside(line.strip()) if kind == "bullet" else [line.strip()]
        yield from (Line(kind, part, len(line) - len(line.lstrip())) for part in parts)


def _unmarked(line: str) -> tuple[str | None, int]:
    """The text after a line's bullets, numbers, check boxes and emoji (None if none), and its indent."""
    text, indent, found = line, len(line) - len(line.lstrip()), False
    for _ in range(3):  # "- 1. [x] raised eyebrows"
        bullet = _BULLET.match(text)
        if bullet:
            indent += 2 * (bullet["number"] or bullet["decimal"] or "").count(".")
            text = _CHECK_BOX.sub("", bullet["text"])
        elif text.strip() and unicodedata.category(text.strip()[0]) == "So":
            text = text.strip()[1:].lstrip("🏻🏼🏽🏾🏿 ")
        else:
            break
        found = True
    return (text, indent) if found else (None, indent)


def _continues(found: list[Line], line: str, follows: bool) -> bool:
    """Whether the line continues the last one found; it is then appended to it."""
    if not found or not follows or _BULLET.match(line) or found[-1].kind == "title":
        return False
    last, text = found[-1], line.strip()
    joint = ": " if _EXPLANATION_BELOW.match(line) else " "
    wrapped = text[0].islower() and last.text[-1] not in ".,;:!?" and ":" not in text
    deeper = len(line) - len(line.lstrip()) > last.indent
    if last.kind == "bullet":
        wrapped &= deeper
    else:
        wrapped &= len(last.text) > _LONG_LINE
    if joint == " " and not wrapped:
        return False
    kind: Kind = "bullet" if joint == ": " else last.kind
    found[-1] = replace(last, kind=kind, text=last.text + joint + _EXPLANATION_BELOW.sub("", line).strip())
    return True
