"""JSON that a person or a program wrote, read strictly: a key comes once, and numbers are numbers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from .errors import InputError


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text. Raises InputError, which begins with `where`, for what is no JSON.

    A key that an object has twice is refused, since one value would hide the other; so are NaN and Infinity,
    which JSON does not have.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is not a JSON object: it is nested too deep") from error
    except ValueError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} is there a second time")
    return made


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
