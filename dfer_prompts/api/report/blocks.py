"""What a report is made of, before it is HTML, Markdown or LaTeX: sections of words, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MANY = 25  # columns, from which the cells of a heat map are small


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, a second line below it, and for a heat map how full it is (0 to 10)."""

    text: str
    below: str = ""
    shade: int | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first `heads` cells of a row name it.

    `heat` ones have narrow columns of shaded cells; `beside` ones stand beside another where there is room.
    Text that is no number is in the columns `words`, from 0.
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
        """Whether it is a heat map of so many columns that its cells are made small."""
        return self.heat and len(self.columns) > MANY


@dataclass(frozen=True)
class Picture:
    """A figure, and what stands below it; it is drawn when it is asked for, which only a page does."""

    caption: str
    draw: Callable[[], str]
    kind: str = "picture"

    @property
    def svg(self) -> str:
        """The figure as SVG."""
        return self.draw()


@dataclass(frozen=True)
class Words:
    """A paragraph, or the points of a list."""

    points: tuple[str, ...]
    listed: bool = False
    kind: str = "words"


@dataclass(frozen=True)
class Code:
    """A command as it is typed."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Folded:
    """What is shown when it is asked for, and in print."""

    summary: str
    blocks: tuple[Block, ...]
    kind: str = "folded"


Block = Table | Picture | Words | Code | Folded


@dataclass(frozen=True)
class Section:
    """A part of the report under its own heading; one without blocks is left out."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Content:
    """The whole report; `paper` are the tables that LaTeX has, and `facts` what stands below the title."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    paper: tuple[Table, ...]


def paragraph(text: str) -> Words:
    """A paragraph."""
    return Words((text,))


def points(sentences: Sequence[str]) -> Words:
    """Sentences, each a point of a list."""
    return Words(tuple(sentences), listed=True)


def cells(*texts: object) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(each if isinstance(each, Cell) else Cell(str(each)) for each in texts)
