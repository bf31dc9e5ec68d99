"""Markdown and HTML from templates, in which all that a model, a file or another person wrote stays text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def markdown_environment() -> Environment:
    """Jinja2 for the `.md.j2` files beside this one; what they print is escaped as HTML and as Markdown."""
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
    """Jinja2 for the templates of HTML in a folder; what they print is one line, and escaped as HTML."""
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
    """The value's text on one line, without what does not show."""
    return "".join(filter(shows, " ".join(str(value).split())))


def shows(char: str) -> bool:
    """Not a control character, of which a terminal makes commands, nor one that turns the text around."""
    return char.isprintable()


def _escaped(value: object) -> object:
    """Text of others in a line: neither emphasis nor a link nor the end of a table's cell.

    HTML in it is escaped by Jinja2.
    """
    from markupsafe import Markup

    return value if isinstance(value, Markup) else re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", one_line(value))


def _code(value: object) -> object:
    """A line of an indented block, in which Markdown escapes nothing and shows all as it is."""
    from markupsafe import Markup

    return Markup(one_line(value))  # noqa: S704 - nothing ends an indented line but a line's end
