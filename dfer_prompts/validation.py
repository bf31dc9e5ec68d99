"""What pydantic found wrong, as one sentence for the person who wrote the file."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The place and kind of the first problem: "classes, item 2, words: Input should be a valid string"."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ", ".join(f"item {part + 1}" if isinstance(part, int) else str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
