"""Rendering of a report as HTML, Markdown, LaTeX and CSV; all text is escaped.

LaTeX tables are split to fit a page.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...markdown import html_environment, markdown_environment, one_line
from .blocks import Cell, Content, Table

if TYPE_CHECKING:
    from jinja2 import Environment


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet's formula may begin
TEMPLATES = Path(__file__).parent / "templates"
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_",
    "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}", "±": r"$\pm$", "–": "--",
    "…": r"\ldots{}", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
# No \textquotedbl, which the default encoding OT1 does not have. A bracket or star after \\ is its argument.


def html(of: Content) -> str:
    """The report as one self-contained HTML page."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return _pages().get_template("page.html.j2").render(of=of, style=style, version=__version__)


def markdown(of: Content) -> str:
    """The text and tables as Markdown, without figures."""
    return markdown_environment().get_template("report.md.j2").render(of=of, version=__version__)


def latex(of: Content) -> str:
    """The tables of a paper, for booktabs."""
    return _latex_pages().get_template("tables.tex.j2").render(of=of, version=__version__)


def csv_table(of: Content) -> str:
    """The figures by fold as CSV, with a header; spreadsheets must not read a name as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in of.by_fold:
        writer.writerow([each if _safe(each) else f"'{each}" for each in row])
    return text.getvalue()


def _safe(text: str) -> bool:
    """Whether a spreadsheet reads the text as it is: no formula, or a number with a sign."""
    return not text.startswith(FORMULA) or re.fullmatch(r"[+-]\d+(\.\d+)?", text) is not None


@cache
def _pages() -> Environment:
    from markupsafe import Markup

    environment = html_environment(TEMPLATES)
    environment.filters["markup"] = Markup  # only for markup that this package made
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: object) -> object:
    """A name with line-break opportunities after colons and underscores."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split("(?<=[:_])", one_line(name)))


@cache
def _latex_pages() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
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
    environment.filters["label"] = _label
    return environment


def _label(key: str) -> str:
    """A table's key as a LaTeX label, in which an escaped character is an error."""
    return re.sub(r"[^A-Za-z0-9]+", "-", key)


def latex_text(value: object) -> str:
    r"""Text escaped for LaTeX; a minus sign before a number is typeset as such.

    >>> latex_text("50% of $x_1$: -0.3")
    '50\\% of \\$x\\_1\\$: $-$0.3'
    """
    escaped = "".join(_LATEX.get(char, char) for char in one_line(value))
    return re.sub(r"(?<![\w}$-])-(?=\d)", "$-$", escaped)


WIDEST = 15  # columns of a heat map that fit a text column
LONGEST = 40  # rows on a page in small type


def for_paper(tables: Iterable[Table]) -> tuple[Table, ...]:
    """The tables with rows; wide heat maps are transposed, long tables split."""
    return tuple(part for table in tables if table.rows for part in _parts(_upright(table)))


def _upright(of: Table) -> Table:
    """A row for each column of a heat map that has too many of them."""
    if not of.heat or len(of.columns) <= max(WIDEST, len(of.rows) + 1):
        return of
    rows = tuple(
        (Cell(name), *(row[place] for row in of.rows)) for place, name in enumerate(of.columns) if place
    )
    return replace(of, columns=("class", *(row[0].text for row in of.rows)), rows=rows)


def _parts(of: Table) -> Iterator[Table]:
    count = -(-len(of.rows) // LONGEST)
    size = -(-len(of.rows) // count)  # as even as can be
    for part in range(count):
        rows = of.rows[part * size : (part + 1) * size]
        if count == 1:
            yield of
        else:
            title = f"{of.title} (part {part + 1} of {count})"
            yield replace(of, key=f"{of.key}-{part + 1}", title=title, rows=rows)
