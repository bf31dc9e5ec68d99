"""The content of a report before rendering: sections of paragraphs, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

    `paper` are the tables for LaTeX; `by_fold` the rows of the CSV file, header first; `records` the rows of
    a reproduction for `--json`.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    paper: tuple[Table, ...]
    by_fold: tuple[tuple[str, ...], ...]
    records: tuple[dict[str, Any], ...] = ()


def paragraph(text: str) -> Words:
    """A paragraph."""
    return Words((text,))


def points(sentences: Sequence[str]) -> Words:
    """Sentences as the items of a list."""
    return Words(tuple(sentences), listed=True)


def cells(*texts: object) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(each if isinstance(each, Cell) else Cell(str(each)) for each in texts)
