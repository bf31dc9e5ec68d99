"""A report's content as HTML, Markdown and LaTeX, in which all that others wrote stays text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...markdown import html_environment, markdown_environment, one_line
from .blocks import Content

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_",
    "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": "--",
    "…": r"\ldots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


def html(of: Content) -> str:
    """One file that needs no other: style and figures are in it."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return _pages().get_template("page.html.j2").render(of=of, style=style, version=__version__)


def markdown(of: Content) -> str:
    """The words and tables, without figures."""
    return markdown_environment().get_template("report.md.j2").render(of=of, version=__version__)


def latex(of: Content) -> str:
    """The tables of a paper, for booktabs."""
    return _latex_pages().get_template("tables.tex.j2").render(of=of, version=__version__)


@cache
def _pages() -> Environment:
    from markupsafe import Markup

    environment = html_environment(TEMPLATES)
    environment.filters["markup"] = Markup  # for what this package drew or wrote itself, and for nothing else
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: object) -> object:
    """A name that may go on in the next line after a colon or an underscore."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split("(?<=[:_])", one_line(name)))


@cache
def _latex_pages() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 - this is LaTeX, not HTML, and `finalize` escapes it
        finalize=latex_text,
        undefined=StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
    )


def latex_text(value: object) -> str:
    r"""Text as LaTeX prints it; a minus before a figure is one.

    >>> latex_text("50% of $x_1$: -0.3")
    '50\\% of \\$x\\_1\\$: $-$0.3'
    """
    escaped = "".join(_LATEX.get(char, char) for char in one_line(value))
    return re.sub(r"(?<![\w}$-])-(?=\d)", "$-$", escaped)
