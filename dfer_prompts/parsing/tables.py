"""Read structured answers: the features in tables, and the items of JSON.

Of a table, the columns and rows that contain features of the class of the prompt are read. JSON is found
anywhere in an answer and may be truncated or nearly valid.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from . import emotions, words
from .phrases import is_phase, without_emphasis

_RULE = re.compile(r"^\s*\|?[\s:|-]*-{2,}[\s:|-]*$")
_REGION_COLUMN = re.compile(r"\b(?:regions?|areas?|parts?|locations?|zones?)\b", re.IGNORECASE)
_FEATURE_COLUMN = re.compile(
    r"\b(?:features?|cues?|descriptors?|signs?|movements?|appearance|changes?|characteristics?|states?|"
    r"indicators?|observations?)\b",
    re.IGNORECASE,
)
_EXPLANATION_COLUMN = re.compile(
    r"\b(?:descriptions?|explanations?|meanings?|details?|interpretation|examples?)\b", re.IGNORECASE
)
_CLASS_COLUMN = re.compile(r"emotions?|class|expressions?", re.IGNORECASE)
_REMARK_COLUMN = re.compile(  # columns without visible features
    r"#|no\.?|nr\.?|index|rank|ids?|(?:facs )?(?:aus?|codes?|action units?)|facs.*|.*\bmuscles?\b.*|"
    r"why\b.*|.*\breasons?\b.*|importance|reliability|strength|intensity|confidence|frequency|notes?|class|emotions?|expressions?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Table:
    """The features of a table ("region: feature" if a column has the region) and its number of lines."""

    items: list[str]
    length: int


def is_rule(line: str) -> bool:
    """Whether the line is the rule below a table's header."""
    return bool(_RULE.match(line))


def split_row(line: str, separator: str = "|") -> list[str]:
    """The cells of a row."""
    stripped = line.strip().strip("|") if separator == "|" else line
    return [cell.strip() for cell in stripped.split(separator)]


def read(lines: Sequence[str], start: int, class_name: str | None) -> Table | None:
    """The table that begins in this line; None if there is none."""
    rows, ruled = _rows(lines, start)
    if not rows:
        return None
    header, *body = [[without_emphasis(cell).strip() for cell in row] for row in rows]
    return Table(_items(header, _of_class(header, body, class_name), class_name), len(rows) + ruled)


def _rows(lines: Sequence[str], start: int) -> tuple[list[list[str]], bool]:
    """The cells of all rows, header first, and whether a rule follows the header."""
    separator = next((sign for sign in "|\t," if sign in lines[start]), None)
    if separator is None:
        return [], False
    header = split_row(lines[start], separator)
    ruled = (
        separator == "|" and start + 1 < len(lines) and "-" in lines[start + 1] and is_rule(lines[start + 1])
    )
    named = any(map(_is_header, header)) and all(_is_header(cell) or words.region(cell) for cell in header)
    if not ruled and not (len(header) > 1 and named):
        return [], False
    rows = [header]
    for line in lines[start + 1 + ruled :]:
        cells = split_row(line, separator)
        if separator not in line or (separator != "|" and len(cells) != len(header)):
            break
        rows.append(cells)
    return (rows, ruled) if len(rows) > 1 else ([], False)


def _is_header(cell: str) -> bool:
    name = cell.split()[-1] if cell[:1].isalpha() and len(cell.split()) < 3 else ""
    columns = (_REGION_COLUMN, _FEATURE_COLUMN, _EXPLANATION_COLUMN, _CLASS_COLUMN)
    return any(column.fullmatch(name) for column in columns)


def _of_class(header: list[str], body: list[list[str]], class_name: str | None) -> list[list[str]]:
    """The rows of the class, if a column names classes and the class is among them, else all rows."""
    for column in range(len(header)):
        cells = [row[column] if column < len(row) else "" for row in body]
        own = [emotions.names_class(cell, class_name) for cell in cells]
        others = [emotions.is_about_another(cell, class_name) for cell in cells]
        if any(own) and all(
            mine or other or not cell for mine, other, cell in zip(own, others, cells, strict=True)
        ):
            return [row for row, other in zip(body, others, strict=True) if not other]
    return body


def _items(header: list[str], body: list[list[str]], class_name: str | None) -> list[str]:
    """The features of the rows, as "region: feature" if the table has the region."""
    of_region = [i for i, cell in enumerate(header) if words.region(cell) and not _REGION_COLUMN.search(cell)]
    if len(of_region) > 1:  # a column per region
        pairs = [[header[i], row[i]] for row in body for i in of_region if i < len(row)]
    else:
        columns = _columns(header, body, class_name)
        pairs = [[row[i] for i in each if i < len(row)] for row in body for each in columns]
    filled = ([cell for cell in pair if cell.strip(" *_-–—")] for pair in pairs)
    return [": ".join(cells) for cells in filled if cells]


def _columns(header: list[str], body: list[list[str]], class_name: str | None) -> list[list[int]]:
    """For each item of a row, the columns whose cells are joined to it."""
    names = range(len(header))
    region = next((i for i in names if _REGION_COLUMN.search(header[i])), None)
    if region is None:
        region = next((i for i in names if _holds_regions([row[i] for row in body if i < len(row)])), None)
    others = [i for i in names if i != region]
    phases = [i for i in others if is_phase(header[i])]
    own = [i for i in others if emotions.names_class(header[i], class_name)]
    if region is not None and (len(phases) > 1 or own):
        return [[region, i] for i in (own or phases)]
    return [_feature_columns(header, region, others)]


def _feature_columns(header: list[str], region: int | None, others: list[int]) -> list[int]:
    """The columns of region and feature, or, without a region, of feature and explanation."""
    feature = next((i for i in others if _FEATURE_COLUMN.search(header[i])), None)
    explained = next((i for i in others if i != feature and _EXPLANATION_COLUMN.search(header[i])), None)
    column = explained if feature is None else feature
    columns = [i for i in others if not _REMARK_COLUMN.fullmatch(header[i])]
    if region is not None:
        column = column if column is not None else next(iter(columns), None)
        return [region, column] if column is not None else [region]
    return [i for i in (feature, explained) if i is not None] or (columns or others)[:2]


def _holds_regions(cells: list[str]) -> bool:
    return len(cells) > 1 and all(map(words.region, cells))


_START = re.compile(r"\[(?=\s*(?:[\"'\[{]|\]\s*$))|\{(?=\s*[\"'])")
_COMMENT = re.compile(r"(?<=[,\[{\"'])[ \t]*(?://|#)[^\n]*")
_COMMA_TOO_MANY = re.compile(r",\s*(?=[\]}])")
_ATTEMPTS = 8  # at parsing texts that look like JSON
_DEEPEST = 5
_NAMES = ("descriptor", "feature", "name", "text", "visual_feature", "cue", "sign", "visual_cue")
_REGIONS = ("region", "facial_region", "area", "part", "location", "face_part", "facial_area")
_CLASS_KEYS = ("emotion", "class", "class_name", "expression", "label", "category", "name")
_DECODER = json.JSONDecoder()


def items(text: str, class_name: str | None = None) -> list[str] | None:
    """The strings of all JSON lists and objects in the text, as "label: value" if a key is a label.

    None if there is no JSON; a truncated last value is left out, and so are values under the key of another
    class than `class_name`.
    """
    found = values(text)
    if not found:
        return None
    return [each for value in found for each in _data_items(_data_of_class(value, class_name, 0), "", 0)]


def values(text: str) -> list[Any]:
    """All JSON lists and objects in the text, read with the tolerance of `items`; empty if there is none."""
    found: list[Any] = []
    position, failed = 0, 0
    while failed < _ATTEMPTS and (start := _START.search(text, position)):
        value, end = _read(text, start.start())
        if value is None:
            position, failed = start.end(), failed + 1
            continue
        found.append(value)
        position = end
    return found


def _read(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start` and its end; (None, start) if it cannot be parsed."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        pass
    closing = text.rfind("]" if text[start] == "[" else "}") + 1
    written = text[start : closing if closing > start else len(text)]
    tidied = _COMMA_TOO_MANY.sub("", _COMMENT.sub("", written))
    for read in (json.loads, _python, _unfinished):
        try:
            value = read(tidied)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, list | dict):
            return value, start + len(written)
    return None, start


def _data_of_class(value: Any, class_name: str | None, depth: int) -> Any:
    """The value without keys and objects of other classes; unchanged if no class is given."""
    if class_name is None or depth > _DEEPEST:
        return value
    if isinstance(value, list):
        own = [each for each in value if not _is_object_of_another(each, class_name)]
        return [_data_of_class(each, class_name, depth + 1) for each in own or value]
    if isinstance(value, dict):
        return {
            key: _data_of_class(each, class_name, depth + 1)
            for key, each in value.items()
            if isinstance(each, str)
            or words.names_part(str(key))
            or not emotions.is_about_another(str(key), class_name)
        }
    return value


def _is_object_of_another(value: Any, class_name: str) -> bool:
    if not isinstance(value, dict):
        return False
    named = [each for key, each in value.items() if str(key).lower() in _CLASS_KEYS and isinstance(each, str)]
    return any(emotions.is_about_another(each, class_name) for each in named)


def _python(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes
        return ast.literal_eval(text)


def _unfinished(text: str) -> Any:
    return from_json(text, allow_partial=True)


def _data_items(value: Any, key: str, depth: int) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        label = f"{key}: " if words.region(key) else ""
        yield label + " ".join(value.split())
    elif isinstance(value, list | tuple) and depth < _DEEPEST:
        for each in value:
            yield from _data_items(each, key, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        yield from _of_object(value, depth)


def _of_object(value: dict[Any, Any], depth: int) -> Iterator[str]:
    """The items of an object that is one feature, or whose keys are regions, features, phases or remarks."""
    keys = {str(key).lower().replace(" ", "_"): key for key in value}
    name = next((keys[name] for name in _NAMES if isinstance(value.get(keys.get(name)), str)), None)
    if name is not None:
        place = next((value[keys[region]] for region in _REGIONS if region in keys), "")
        yield from _data_items(value[name], place if isinstance(place, str) else "", depth + 1)
        return
    nested = any(isinstance(each, list | dict) for each in value.values())
    for key, each in value.items():
        label = str(key).replace("_", " ")
        feature = words.names_face(label) and not words.is_title(label)
        if isinstance(each, str) and feature:
            yield f"{label}: {' '.join(each.split())}"
        elif not isinstance(each, str) or not (nested or words.is_remark(label)):
            yield from _data_items(each, label, depth + 1)
