"""Markdown and HTML from templates; inserted text of models, files and users is escaped."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def markdown_environment() -> Environment:
    """Jinja2 for the `.md.j2` files in this folder; printed values are escaped as HTML and as Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment


def html_environment(templates: Path) -> Environment:
    """Jinja2 for the HTML templates in a folder; printed values become one line and are escaped as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else one_line(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def one_line(value: object) -> str:
    """The value's text on one line, without invisible characters."""
    return "".join(filter(shows, " ".join(str(value).split())))


def shows(char: str) -> bool:
    """Whether a character is visible: no control character and no change of the text direction."""
    return char.isprintable()


def _escaped(value: object) -> object:
    """Text without Markdown syntax: no emphasis, link or end of a table cell.

    Jinja2 escapes the HTML.
    """
    from markupsafe import Markup

    return value if isinstance(value, Markup) else re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", one_line(value))


def _code(value: object) -> object:
    """A line of an indented code block, which Markdown shows verbatim."""
    from markupsafe import Markup

    return Markup(one_line(value))  # noqa: S704 - only a line break ends an indented line
