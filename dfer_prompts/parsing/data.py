"""Read the items of JSON or nearly valid JSON anywhere in an answer."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from . import emotions, words

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
    found: list[str] | None = None
    position, failed = 0, 0
    while failed < _ATTEMPTS and (start := _START.search(text, position)):
        value, end = _read(text, start.start())
        if value is None:
            position, failed = start.end(), failed + 1
            continue
        found, position = [*(found or []), *_items(_of_class(value, class_name, 0), "", 0)], end
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


def _of_class(value: Any, class_name: str | None, depth: int) -> Any:
    """The value without keys and objects of other classes; unchanged if no class is given."""
    if class_name is None or depth > _DEEPEST:
        return value
    if isinstance(value, list):
        kept = [each for each in value if not _is_object_of_another(each, class_name)]
        return [_of_class(each, class_name, depth + 1) for each in kept or value]
    if isinstance(value, dict):
        return {
            key: _of_class(each, class_name, depth + 1)
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


def _items(value: Any, key: str, depth: int) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        label = f"{key}: " if words.region(key) else ""
        yield label + " ".join(value.split())
    elif isinstance(value, list | tuple) and depth < _DEEPEST:
        for each in value:
            yield from _items(each, key, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        yield from _of_object(value, depth)


def _of_object(value: dict[Any, Any], depth: int) -> Iterator[str]:
    """The items of an object that is one feature, or whose keys are regions, features, phases or remarks."""
    keys = {str(key).lower().replace(" ", "_"): key for key in value}
    name = next((keys[name] for name in _NAMES if isinstance(value.get(keys.get(name)), str)), None)
    if name is not None:
        place = next((value[keys[region]] for region in _REGIONS if region in keys), "")
        yield from _items(value[name], place if isinstance(place, str) else "", depth + 1)
        return
    nested = any(isinstance(each, list | dict) for each in value.values())
    for key, each in value.items():
        label = str(key).replace("_", " ")
        feature = words.names_face(label) and not words.is_title(label)
        if isinstance(each, str) and feature:
            yield f"{label}: {' '.join(each.split())}"
        elif not isinstance(each, str) or not (nested or words.is_remark(label)):
            yield from _items(each, label, depth + 1)
