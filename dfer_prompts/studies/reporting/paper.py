"""Tables as a paper has room for them: no wider than a page, and no longer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from .blocks import Cell, Table

WIDEST = 15  # columns of a heat map in a column of text
LONGEST = 45  # rows on a page, in small type


def for_paper(tables: Iterable[Table]) -> tuple[Table, ...]:
    """The tables that have rows; wide heat maps stand on their side, and long tables are in parts."""
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
