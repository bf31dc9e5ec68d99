"""The lines of an answer: titles, list items of all shapes, rows of tables, and plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

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
_LETTERS_INSIDE = re.compile(r"\(([a-h]|i{1,3}|iv|vi{0,3})\)\s+")
_NUMBER_INSIDE = re.compile(r"(?:^|(?<=[\s,;.:]))(?:and\s+)?\(?\d{1,2}[.)]\s+")
_BULLET_INSIDE = re.compile(r"\s+[•‣◦▪●○➤►▶■◆★*]\s+")
_TABLE_RULE = re.compile(r"^\s*\|?[\s:|-]*-{2,}[\s:|-]*$")
_LONG_LINE = 60  # characters; a shorter one was ended by its writer, not by the margin

_REGION_COLUMN = re.compile(r"\b(?:regions?|areas?|parts?|locations?|zones?)\b", re.IGNORECASE)
_FEATURE_COLUMN = re.compile(
    r"\b(?:features?|cues?|descriptors?|signs?|movements?|appearance|changes?|characteristics?|states?|"
    r"indicators?|observations?)\b",
    re.IGNORECASE,
)
_EXPLANATION_COLUMN = re.compile(
    r"\b(?:descriptions?|explanations?|meanings?|details?|interpretation|examples?)\b", re.IGNORECASE
)


Kind = Literal["title", "bullet", "plain"]


@dataclass(frozen=True)
class Line:
    """A line of an answer; `indent` is its depth in spaces."""

    kind: Kind
    text: str
    indent: int = 0


def lines_of(text: str) -> list[Line]:
    """All lines that say something, tables as items "first column: second column"."""
    raw = [_QUOTE.sub("", line).expandtabs(4).rstrip() for line in text.splitlines()]
    raw = [line for line in raw if not line.lstrip().startswith(("```", "~~~"))]
    found: list[Line] = []
    index = 0
    while index < len(raw):
        rows = _table(raw, index)
        if rows:
            columns = _columns(rows[0])
            found += [Line("bullet", row) for cells in rows[1:] if (row := _row(columns, cells))]
            index += len(rows) + (_is_rule(raw, index + 1))
            continue
        line, follows = raw[index], index > 0 and bool(raw[index - 1].strip())
        index += 1
        if line.strip() and not _TABLE_RULE.match(line) and not _continues(found, line, follows):
            found += (item for item in _line(line) if item.text.strip())
    return found


def inside(text: str) -> list[str]:
    """The items of a list that was written in one line with numbers, letters or bullets between."""
    for pattern in (_BULLET_INSIDE, _NUMBER_INSIDE, _LETTERS_INSIDE):
        # A capturing pattern would hand its letters over as parts.
        parts = [part.strip(" ,;") for part in pattern.sub("\0", text).split("\0")]
        if len(parts) > 2 or (len(parts) == 2 and not parts[0]):
            return [part for part in parts if part]
    return [text]


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
        yield from (Line("bullet", part, indent) for part in inside(marked))
    elif line.count("|") > 1 and line.lstrip().startswith("|"):
        yield Line("bullet", ": ".join(_cells(line)[:2]))
    elif line.strip() and not _EMPTY_BULLET.match(line):
        kind: Kind = "bullet" if _BULLET_INSIDE.search(line) else "plain"
        parts = inside(line.strip()) if kind == "bullet" else [line.strip()]
        yield from (Line(kind, part, len(line) - len(line.lstrip())) for part in parts)


def _unmarked(line: str) -> tuple[str | None, int]:
    """The text behind a line's bullets, numbers, check boxes and emoji, and its depth; None without any."""
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
    """Whether the line goes on with the last one found, to which it is then added."""
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


def _is_rule(raw: list[str], index: int) -> bool:
    return index < len(raw) and "-" in raw[index] and bool(_TABLE_RULE.match(raw[index]))


def _table(raw: list[str], start: int) -> list[list[str]]:
    """The cells of the table that begins in this line, its header first; empty if none does."""
    separator = next((sign for sign in "|\t," if sign in raw[start]), None)
    if separator is None:
        return []
    header = _cells(raw[start], separator)
    ruled = separator == "|" and _is_rule(raw, start + 1)
    if not ruled and not (len(header) > 1 and all(map(_is_header, header))):
        return []
    rows = [header]
    for line in raw[start + 1 + ruled :]:
        cells = _cells(line, separator)
        if separator not in line or (separator != "|" and len(cells) != len(header)):
            break
        rows.append(cells)
    return rows if len(rows) > 1 else []


def _cells(line: str, separator: str = "|") -> list[str]:
    stripped = line.strip().strip("|") if separator == "|" else line
    return [cell.strip() for cell in stripped.split(separator)]


def _is_header(cell: str) -> bool:
    name = cell.split()[-1] if cell[:1].isalpha() and len(cell.split()) < 3 else ""
    return any(column.fullmatch(name) for column in (_REGION_COLUMN, _FEATURE_COLUMN, _EXPLANATION_COLUMN))


def _columns(header: list[str]) -> list[int]:
    """Which columns say a feature: the region's if there is one, then what is said of it."""
    region = next((i for i, cell in enumerate(header) if _REGION_COLUMN.search(cell)), None)
    others = [i for i in range(len(header)) if i != region]
    feature = next((i for i in others if _FEATURE_COLUMN.search(header[i])), None)
    explained = next((i for i in others if i != feature and _EXPLANATION_COLUMN.search(header[i])), None)
    said = explained if feature is None else feature
    if region is not None and said is not None:
        return [region, said]
    return [i for i in (feature, explained) if i is not None] or others[:2]


def _row(columns: list[int], cells: list[str]) -> str:
    return ": ".join(cells[i] for i in columns if i < len(cells) and cells[i].strip(" *_-"))
