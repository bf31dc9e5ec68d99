"""What pydantic found wrong, as one sentence for the person who wrote the file."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The place and kind of the first problem: "classes, item 2, words: Input should be a valid string"."""
    problem = error.errors(include_url=False, include_input=False)[0]
    parts = problem["loc"]
    if parts[-1:] == ("[key]",):  # the last but one is then a key, a number perhaps, and no place in a list
        parts = (*parts[:-2], f"the key {parts[-2]}")
    place = ", ".join(f"item {part + 1}" if isinstance(part, int) else str(part) for part in parts)
    text = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
