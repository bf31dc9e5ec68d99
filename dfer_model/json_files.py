"""Reading JSON that others may have written or damaged: files, and strictly parsed texts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from .errors import InputError


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError, with the file's name, for invalid JSON; OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path.name} is not valid JSON: nested too deeply") from error
    except ValueError as error:  # not JSON, not UTF-8, or a number with thousands of digits
        raise ValueError(f"{path.name} is not valid JSON: {' '.join(str(error).split())}") from error


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text. Raises InputError, whose message begins with `where`, for invalid JSON.

    As `strict_json`.
    """
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is not a JSON object: nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error


def strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError (json.JSONDecodeError for syntax) and RecursionError.

    Duplicate keys of an object are rejected, because one value would hide the other; so are NaN and Infinity,
    which are not valid JSON.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return made


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
