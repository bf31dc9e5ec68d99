"""The content of a report (sections of paragraphs, tables and figures), and its rendering.

The formats are HTML, Markdown, LaTeX and CSV; all text is escaped. LaTeX tables are split to fit a page.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...markdown import html_environment, markdown_environment, one_line

if TYPE_CHECKING:
    from jinja2 import Environment

    from .by_group import ByGroup


MANY = 25  # columns from which the cells of a heat map are small


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, a second line below it, and for a heat map its shade (0 to 10)."""

    text: str
    below: str = ""
    shade: int | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first `heads` cells of a row are its header.

    A `heat` table has narrow columns of shaded cells; a `beside` one is placed beside another if there is
    room. The columns `words` (from 0) hold text, not numbers.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    heads: int = 1
    heat: bool = False
    beside: bool = False
    words: tuple[int, ...] = ()
    kind: str = "table"

    @property
    def many(self) -> bool:
        """Whether it is a heat map of many columns, whose cells are small."""
        return self.heat and len(self.columns) > MANY


@dataclass(frozen=True)
class Picture:
    """A figure and its caption; it is drawn on demand, which only the HTML page does."""

    caption: str
    draw: Callable[[], str]
    kind: str = "picture"

    @property
    def svg(self) -> str:
        """The figure as SVG."""
        return self.draw()


@dataclass(frozen=True)
class Words:
    """A paragraph, or the items of a list."""

    points: tuple[str, ...]
    listed: bool = False
    kind: str = "words"


@dataclass(frozen=True)
class Code:
    """A command line."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Folded:
    """Blocks that are collapsed on a screen and shown in print."""

    summary: str
    blocks: tuple[Block, ...]
    kind: str = "folded"


Block = Table | Picture | Words | Code | Folded


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; it is left out if it has no blocks."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Content:
    """The whole report; `facts` appear below the title.

    `paper` are the tables for LaTeX; `by_fold` the rows of the CSV file, header first. `groups` are the
    results by an attribute of the clips, if wanted; `records` the rows of a reproduction for `--json`.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    paper: tuple[Table, ...]
    by_fold: tuple[tuple[str, ...], ...]
    groups: ByGroup | None = None
    records: tuple[dict[str, Any], ...] = ()

    def with_section(self, section: Section, before: Sequence[str]) -> Content:
        """The report with `section` before the first section that has one of these keys, else at its end."""
        place = next((n for n, each in enumerate(self.sections) if each.key in before), len(self.sections))
        return replace(self, sections=(*self.sections[:place], section, *self.sections[place:]))


def paragraph(text: str) -> Words:
    """A paragraph."""
    return Words((text,))


def points(sentences: Sequence[str]) -> Words:
    """Sentences as the items of a list."""
    return Words(tuple(sentences), listed=True)


def cells(*texts: object) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(each if isinstance(each, Cell) else Cell(str(each)) for each in texts)


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
