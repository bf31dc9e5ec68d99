"""UAR, WAR and recalls fold by fold, with their mean over folds and pooled over clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .render import WIDEST, Block, Cell, Section, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .by_class import ByMeasure, ClassCounts

MEAN, POOLED = "mean", "pooled"
FIGURES = ("UAR", "WAR")
WIDEST_WITH_SPREAD = 11  # columns that fit a text column if each figure has its spread beside it


@dataclass(frozen=True)
class FoldFigures:
    """The figures of one set on one fold, in percent.

    `fold` is its number, "mean" (the mean over folds) or "pooled" (all clips of all folds together). `values`
    is (seeds, 2 + classes): UAR, WAR and the recall of each class, NaN for a class without clips.
    """

    measure: str
    name: str
    fold: str
    class_names: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over seeds of each figure."""
        found: NDArray[np.float64] = self.values.mean(axis=0)
        return found

    @property
    def std(self) -> NDArray[np.float64] | None:
        """The standard deviation over seeds of each figure; None with one seed."""
        if len(self.values) < 2:
            return None
        found: NDArray[np.float64] = self.values.std(axis=0, ddof=1)
        return found


def fold_figures(measure: str, by_set: Mapping[str, ClassCounts], order: Iterable[str]) -> list[FoldFigures]:
    """The figures of each set in `order`, fold by fold, then the mean and pooled.

    A set with one fold has no mean and no pooled row. A set whose folds are not stored has a pooled row only.
    """
    return [
        FoldFigures(measure, name, fold, by_set[name].class_names, values)
        for name in order
        if name in by_set
        for fold, values in _values(by_set[name])
    ]


def _values(of: ClassCounts) -> Iterator[tuple[str, NDArray[np.float64]]]:
    each = {fold: percents(counts) for fold, counts in sorted(of.folds.items())}
    yield from ((str(fold), values) for fold, values in each.items())
    if len(each) > 1:
        yield MEAN, _mean_over_folds(np.stack(list(each.values())))
    if len(each) != 1:
        yield POOLED, percents(of.counts)


def percents(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """UAR, WAR and recalls in percent (seeds, 2 + classes) of counts (seeds, true, predicted).

    The recall of a class without clips is NaN and is left out of the UAR.
    """
    clips = counts.sum(axis=2)
    right = np.diagonal(counts, axis1=1, axis2=2)
    recalls = np.divide(100 * right, clips, out=np.full(clips.shape, np.nan), where=clips > 0)
    uar = _mean_of_known(recalls, axis=1)
    total = clips.sum(axis=1)
    war = np.divide(100 * right.sum(axis=1), total, out=np.full(total.shape, np.nan), where=total > 0)
    return np.concatenate([np.stack([uar, war], axis=1), recalls], axis=1)


def _mean_over_folds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the first axis; of a class, over the folds that have clips of it."""
    return _mean_of_known(values, axis=0)


def _mean_of_known(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean without NaN; NaN where nothing else is there."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    found: NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def fold_section(found: ByMeasure, measures: Sequence[str], order: Sequence[str]) -> Section:
    """The tables of the measures whose predictions are stored fold by fold."""
    blocks: list[Block] = []
    for measure in measures:
        stored = {name: each for name, each in found.get(measure, {}).items() if each.folds}
        blocks += fold_tables(fold_figures(measure, stored, order))
    return Section("folds", "Fold by fold", tuple(blocks))


def fold_tables(of: Sequence[FoldFigures]) -> list[Table]:
    """One table of the figures of a measure, or a table for each set if there are many classes."""
    if not of:
        return []
    classes = tuple(dict.fromkeys(name for each in of for name in each.class_names))
    spread = "" if all(each.std is None for each in of) else "; below it ± over seeds"
    key, measure = f"folds-{of[0].measure.replace(' ', '-')}", of[0].measure
    if 2 + len(FIGURES) + len(classes) <= (WIDEST_WITH_SPREAD if spread else WIDEST):
        rows = tuple((Cell(each.name), Cell(each.fold), *_cells(each, classes)) for each in of)
        title = f"UAR, WAR and recall of each class in percent, {measure}, by fold{spread}"
        return [Table(key, title, ("set", "fold", *FIGURES, *classes), rows, heads=2, heat=True)]
    tables = []
    for place, name in enumerate(dict.fromkeys(each.name for each in of)):
        mine = [each for each in of if each.name == name]
        columns = [[Cell(head) for head in (*FIGURES, *classes)], *(_cells(each, classes) for each in mine)]
        title = f"UAR, WAR and recall of each class in percent, {name}, {measure}, by fold{spread}"
        heads = ("figure", *(f"fold {it.fold}" if it.fold.isdecimal() else it.fold for it in mine))
        tables.append(Table(f"{key}-{place}", title, heads, tuple(zip(*columns, strict=True))))
    return tables


def fold_rows(found: ByMeasure, measures: Sequence[str], order: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The rows of a CSV file, header first: the mean over seeds of each figure, then its standard deviation.

    A measure that is not stored by fold has only its pooled figures. What is unknown is empty.
    """
    figures = [each for name in measures for each in fold_figures(name, found.get(name, {}), order)]
    classes = dict.fromkeys(name for each in figures for name in each.class_names)
    heads = [*FIGURES, *(f"recall {name}" for name in classes)]
    rows = []
    for each in figures:
        columns = (*FIGURES, *(f"recall {name}" for name in each.class_names))
        start = (each.measure, each.name, each.fold, str(len(each.values)))
        rows.append((*start, *_aligned(each.mean, columns, heads), *_aligned(each.std, columns, heads)))
    return (("measure", "set", "fold", "seeds", *heads, *(f"sd {head}" for head in heads)), *rows)


def _aligned(values: NDArray[np.float64] | None, columns: Sequence[str], heads: Sequence[str]) -> list[str]:
    """The values of `columns` in the order of `heads`, with two decimals."""
    known = {} if values is None else dict(zip(columns, values.tolist(), strict=True))
    return ["" if np.isnan(known.get(head, np.nan)) else f"{known[head]:.2f}" for head in heads]


def _cells(of: FoldFigures, classes: Sequence[str]) -> list[Cell]:
    spreads = [np.nan] * of.values.shape[1] if of.std is None else of.std.tolist()
    found = [
        Cell("–") if np.isnan(mean) else Cell(f"{mean:.2f}", "" if np.isnan(std) else f"±{std:.2f}")
        for mean, std in zip(of.mean.tolist(), spreads, strict=True)
    ]
    recalls = dict(zip(of.class_names, found[len(FIGURES) :], strict=True))
    return [*found[: len(FIGURES)], *(recalls.get(name, Cell("–")) for name in classes)]
