"""The tables of a reproduction: our figures, the published ones and their difference."""

from __future__ import annotations

from collections.abc import Sequence

from ..reproduce.results import Ours
from .by_fold import FIGURES
from .render import Cell, Table, cells
from .stored_reproduction import Reproduction, StoredRow

OURS = "ours, not in the paper"
NONE = "–"
PUBLISHED = ("published UAR", "published WAR", "difference in UAR", "difference in WAR")


def status(row: StoredRow) -> str:
    """Why the row was not run, and whether the paper has it; empty if it does and the row was run."""
    parts = [] if row.in_paper else [OURS]
    if row.ours is None:
        parts.append(row.note if row.note.startswith("skipped") else f"not run: {row.note}")
    return "; ".join(parts)


def page_table(of: Reproduction, table: str) -> Table:
    """The rows of a table: our figures with intervals, seeds, published figures and differences."""
    rows = of.stored.of(table)
    last = any(each.last for each in rows)
    columns = ("row", *FIGURES, "seeds", *(("last UAR", "last WAR") if last else ()), *PUBLISHED)
    found = []
    for row in rows:
        runs = of.runs_of(row)
        intervals = [str(each) for each in runs.intervals] if runs else ["", ""]
        ours = [Cell(*each) for each in zip(_figures(row.ours), intervals, strict=True)]
        of_last = _figures(row.last or row.ours) if last else []
        seeds = _listed(runs.seeds) if runs else ""
        head = Cell(f"{row.number} {row.name}", status(row))
        found.append((head, *ours, *cells(seeds, *of_last, *_published(row))))
    spread = ", ± one standard deviation over seeds" if _has_spread(rows) else ""
    title = (
        f"{table} on {of.stored.dataset}, in percent{spread}, with 95% intervals; the difference is ours "
        "minus the published figure, in points"
    )
    return Table(f"rows-{table}", title, columns, tuple(found))


def latex_tables(of: Reproduction, table: str) -> list[Table]:
    """The figures of a table, and their intervals, with few columns for a page of a paper."""
    rows = of.stored.of(table)
    names = [f"{row.name}{'' if row.in_paper else ' *'}" for row in rows]
    about = f"{of.stored.titles[table]}, {of.stored.dataset}"
    spread = ", ± one standard deviation over seeds" if _has_spread(rows) else ""
    marked = "" if all(each.in_paper for each in rows) else f". *: {OURS}"
    figures = tuple(
        cells(name, *_figures(row.ours), *_published(row)) for name, row in zip(names, rows, strict=True)
    )
    columns = ("row", *FIGURES, "paper UAR", "paper WAR", "diff. UAR", "diff. WAR")
    title = f"{about}: UAR and WAR in percent{spread}, and the figures of the paper ({table}){marked}"
    intervals = tuple(
        cells(name, _listed(runs.seeds), _listed(of.stored.folds), *map(str, runs.intervals))
        for name, row in zip(names, rows, strict=True)
        if (runs := of.runs_of(row))
    )
    return [
        Table(f"rows-{table}", title, columns, figures),
        Table(
            f"intervals-{table}",
            f"{about}: 95% intervals of our figures in percent{marked}",
            ("row", "seeds", "folds", *FIGURES),
            intervals,
        ),
    ]


def _has_spread(rows: Sequence[StoredRow]) -> bool:
    return any(each.ours and each.ours.uar.std is not None for each in rows)


def _figures(of: Ours | None) -> list[str]:
    """UAR and WAR with their standard deviations over seeds."""
    return [NONE, NONE] if of is None else [str(of.uar), str(of.war)]


def _published(row: StoredRow) -> list[str]:
    """The published UAR and WAR, then ours minus them."""
    theirs = [f"{row.published.uar:.2f}", f"{row.published.war:.2f}"] if row.published else [NONE, NONE]
    return [*theirs, *([f"{each:+z.2f}" for each in row.difference] if row.difference else [NONE, NONE])]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
