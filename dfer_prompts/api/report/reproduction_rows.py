"""The rows of a reproduction as CSV and as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ..reproduce.results import Ours
from .by_class import ClassCounts
from .by_fold import FIGURES, MEAN, FoldFigures, fold_figures
from .reproduction_tables import status
from .stored_reproduction import Reproduction, StoredRow

FIRST = ("table", "number", "row", "in paper", "run", "note", "fold", "seeds")
LAST = (
    "UAR low", "UAR high", "WAR low", "WAR high", "published UAR", "published WAR", "difference UAR",
    "difference WAR", "source",
)  # fmt: skip


def csv_rows(of: Reproduction) -> tuple[tuple[str, ...], ...]:
    """A line per row of the paper with its mean over folds, and one per fold; the first is the header.

    Intervals and published figures are on the line of the mean, which a row that was not run has as well.
    """
    recalls = [f"recall {name}" for name in of.stored.class_names]
    heads = [*FIGURES, *recalls]
    lines: list[tuple[str, ...]] = [(*FIRST, *heads, *(f"sd {head}" for head in heads), *LAST)]
    for row in of.stored.rows:
        first = (
            row.table,
            str(row.number),
            row.name,
            _yes(row.in_paper),
            _yes(row.ours is not None),
            status(row),
        )
        by_fold = _by_fold(of, row)
        for each in by_fold:
            last = _of_mean(of, row) if each.fold == MEAN else [""] * len(LAST)
            figures = [*_two_decimals(each.mean), *_two_decimals(each.std, len(heads))]
            lines.append((*first, each.fold, str(len(each.values)), *figures, *last))
        if not any(each.fold == MEAN for each in by_fold):
            figures = _stored_figures(row.ours, len(recalls))
            lines.append((*first, MEAN, "", *figures, *_of_mean(of, row)))
    return tuple(lines)


def _yes(of: bool) -> str:
    return "yes" if of else "no"


def _by_fold(of: Reproduction, row: StoredRow) -> list[FoldFigures]:
    """The figures of a row by fold, with a mean also for one fold; empty if its runs no longer exist."""
    runs = of.runs_of(row)
    if runs is None:
        return []
    class_counts = ClassCounts(of.stored.class_names, np.sum(list(runs.counts.values()), axis=0), runs.counts)
    found = fold_figures(row.table, {row.name: class_counts}, [row.name])
    if len(runs.counts) > 1:
        return found
    return [
        *found,
        *(FoldFigures(each.measure, each.name, MEAN, each.class_names, each.values) for each in found),
    ]


def _two_decimals(values: Any, length: int = 0) -> list[str]:
    """Numbers with two decimals, empty for NaN; `length` empty cells for None."""
    if values is None:
        return [""] * length
    return ["" if np.isnan(each) else f"{each:.2f}" for each in values.tolist()]


def _stored_figures(ours: Ours | None, recalls: int) -> list[str]:
    """UAR, WAR and no recalls, then their standard deviations, of a row without runs."""
    if ours is None:
        return [""] * 2 * (2 + recalls)
    both = (ours.uar, ours.war)
    means = [f"{each.mean:.2f}" for each in both]
    spreads = ["" if each.std is None else f"{each.std:.2f}" for each in both]
    return [*means, *[""] * recalls, *spreads, *[""] * recalls]


def _of_mean(of: Reproduction, row: StoredRow) -> list[str]:
    runs, theirs = of.runs_of(row), row.published
    numbers: list[float | None] = [None] * 8
    if runs:
        numbers[:4] = [end for each in runs.intervals for end in (each.low, each.high)]
    if theirs:
        numbers[4:6] = theirs.uar, theirs.war
    if row.difference:
        numbers[6:] = row.difference
    texts = ["" if each is None else f"{each:z.2f}" for each in numbers]
    return [*texts, theirs.source if theirs else ""]


def plain_rows(of: Reproduction) -> tuple[dict[str, Any], ...]:
    """Each row as plain values: what `report --json` prints of a reproduction."""
    return tuple(_plain(of, row) for row in of.stored.rows)


def _plain(of: Reproduction, row: StoredRow) -> dict[str, Any]:
    runs = of.runs_of(row)
    difference = dict(zip(("uar", "war"), row.difference, strict=True)) if row.difference else None
    return {
        "table": row.table,
        "number": row.number,
        "name": row.name,
        "in_paper": row.in_paper,
        "run": row.ours is not None,
        "note": row.note,
        "selection": row.ours.selection if row.ours else None,
        "folds": list(of.stored.folds) if row.ours else [],
        "seeds": runs.seeds if runs else [],
        "uar": _plain_figure(of, row, 0),
        "war": _plain_figure(of, row, 1),
        "last": asdict(row.last) if row.last else None,
        "published": row.published.model_dump() if row.published else None,
        "difference": difference,
        "by_fold": [_plain_fold(each) for each in _by_fold(of, row)],
        "runs": list(row.runs),
    }


def _plain_figure(of: Reproduction, row: StoredRow, which: int) -> dict[str, float | None] | None:
    """UAR (0) or WAR (1) with its interval."""
    if row.ours is None:
        return None
    spread, runs = (row.ours.uar, row.ours.war)[which], of.runs_of(row)
    interval = runs.intervals[which] if runs else None
    ends = {"low": interval.low, "high": interval.high} if interval else {"low": None, "high": None}
    return {"mean": spread.mean, "std": spread.std, **ends}


def _plain_fold(of: FoldFigures) -> dict[str, Any]:
    names = ("uar", "war", *of.class_names)
    spreads = [None] * len(names) if of.std is None else of.std.tolist()
    figures = {
        name: None if np.isnan(mean) else {"mean": mean, "std": None if std is None or np.isnan(std) else std}
        for name, mean, std in zip(names, of.mean.tolist(), spreads, strict=True)
    }
    both = {name: figures.pop(name) for name in ("uar", "war")}
    return {"fold": of.fold, "seeds": len(of.values), **both, "recalls": figures}
