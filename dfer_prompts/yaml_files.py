"""YAML files written by users: read safely, with errors that name the line or the field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dfer_model.yaml_loader import LOADER, YAML_ERRORS, load_yaml, yaml_problem

from .errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError


def parse_yaml(text: str, where: str, first_line: int = 1) -> Any:
    """The value that a YAML text holds; None for an empty one.

    `where` names the text in an error, and `first_line` is the line of its file on which it begins. Raises
    InputError.
    """
    try:
        return load_yaml(text)
    except YAML_ERRORS as error:
        raise InputError(f"{where} is not valid YAML: {yaml_problem(error, text, first_line)}") from error


def compose_yaml(text: str, where: str) -> yaml.Node | None:
    """The nodes of a YAML text, each with its line and what stands there; None for an empty one.

    `where` names the text in an error. Raises InputError.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=LOADER)
    except YAML_ERRORS as error:
        raise InputError(f"{where} is not valid YAML: {yaml_problem(error, text)}") from error
    return node


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds; `what` says, after the fault, what the file should be.

    Raises InputError when the file is no YAML, empty, or holds something else, and FileNotFoundError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid YAML: not UTF-8 text (byte {error.start})") from error
    loaded = parse_yaml(text, str(path))
    if not isinstance(loaded, dict):
        raise InputError(f"{path} {'is empty' if loaded is None else 'is not a mapping'}; {what}")
    return loaded


def key_lines(text: str, first_line: int = 1) -> dict[str, int]:
    """The line of each key at the top of a YAML mapping that `parse_yaml` has read."""
    node = yaml.compose(text, Loader=LOADER)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {str(key.value): key.start_mark.line + first_line for key, _ in pairs}


__all__ = ["LOADER", "YAML_ERRORS", "load_yaml", "yaml_problem"]


def first_problem(error: ValidationError) -> str:
    """The place and kind of the first problem: "classes, item 2, words: Input should be a valid string"."""
    problem = error.errors(include_url=False, include_input=False)[0]
    parts = problem["loc"]
    if parts[-1:] == ("[key]",):  # the last but one is then a key, a number perhaps, and no place in a list
        parts = (*parts[:-2], f"the key {parts[-2]}")
    place = ", ".join(f"item {part + 1}" if isinstance(part, int) else str(part) for part in parts)
    text = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
