"""Top-2 accuracy of stored results: recorded in a run's result, or computed from its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import InputError
from .by_fold import MEAN, POOLED
from .render import Cell, Section, Table
from .stored_predictions import PREDICTIONS, model_predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dfer_model.comparison.record import ComparedModel

    from .stored import Stored

KEY = "top2_accuracy"
HEAD = "top-2 accuracy"
MEASURES = ("trained", "few-shot")  # those of which a run classifies the whole test fold


class Row(NamedTuple):
    """The top-2 accuracy (seeds,) in percent of a set on a fold, its mean over folds, or pooled clips."""

    measure: str
    name: str
    fold: str
    values: NDArray[np.float64]

    @property
    def cell(self) -> Cell:
        """The mean over seeds, and below it the standard deviation."""
        return Cell(f"{self.values.mean():.2f}", f"±{self.std:.2f}" if self.std is not None else "")

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds; None with one seed."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else None


def run_top2(folder: Path, selection: str, measured: Mapping[str, Any]) -> float | None:
    """The top-2 accuracy of a run in percent, None if unknown or if there are fewer than three classes.

    `measured` are the measures of `selection` in its result.json. Runs of earlier versions did not record
    it; it is then computed from their predictions, if these are stored and not damaged.
    """
    if KEY in measured:
        return measured[KEY]  # type: ignore[no-any-return]
    if not (folder / PREDICTIONS).is_file():
        return None
    from dfer_model.runs import Run

    with suppress(InputError):
        return Run.open(folder).measures(selection).top2_accuracy
    return None


def top2_rows(of: Stored) -> list[Row]:
    """The rows of every set whose runs have a known top-2 accuracy, in the order of the fold tables."""
    found: list[Row] = []
    for measure in of.comparison.measures:
        parts = _parts(of, measure) if measure in MEASURES else {}
        for each in of.comparison.rows:
            found += _rows(measure, each.name, parts.get(each.name, {}))
    return found


Parts = dict[int, dict[int, list[tuple[float | None, int]]]]  # by fold and seed: top-2 accuracy, clips


def _parts(of: Stored, measure: str) -> dict[str, Parts]:
    found: dict[str, Parts] = {}
    for each in of.trained:
        if each.measure != measure:
            continue
        selection, measured = of.measured(each)
        value = run_top2(of.runs / each.run, selection, measured) if measured else None
        seeds = found.setdefault(each.name, {}).setdefault(each.fold, {})
        seeds.setdefault(each.seed, []).append((value, measured.get("clips", 0)))
    if measure == "trained":
        found |= {each.run: {each.fold: {each.seed: [_of_model(each)]}} for each in of.record.models}
    return found


def _of_model(model: ComparedModel) -> tuple[float | None, int]:
    if model.top2_accuracy is not None:
        return model.top2_accuracy, model.clips
    from dfer_model.metrics import top2_accuracy

    with suppress(InputError):
        if stored := model_predictions(model):
            return top2_accuracy(stored.labels, stored.logits), model.clips
    return None, model.clips


def fold_top2(measure: str, name: str, fold: int, value: float | None) -> list[Row]:
    """The row of one run."""
    return _rows(measure, name, {fold: {0: [(value, 1)]}})


def _rows(measure: str, name: str, parts: Parts) -> list[Row]:
    """The rows of a set: each fold, then with several folds the mean and the pooled clips."""
    every = [each for seeds in parts.values() for many in seeds.values() for each in many]
    if not every or any(value is None for value, _ in every):
        return []
    folds = sorted(parts)
    values = np.array(  # (folds, seeds): of several runs of a seed the mean
        [[np.mean([value for value, _ in many]) for _, many in sorted(parts[fold].items())] for fold in folds]
    )
    rows = [Row(measure, name, str(fold), each) for fold, each in zip(folds, values, strict=True)]
    if len(folds) > 1:
        clips = [next(iter(parts[fold].values()))[0][1] for fold in folds]
        rows.append(Row(measure, name, MEAN, values.mean(axis=0)))
        rows.append(Row(measure, name, POOLED, np.average(values, axis=0, weights=clips)))
    return rows


def with_top2(folds: Section, rows: Sequence[Row]) -> Section:
    """The section of the figures by fold with a table of the top-2 accuracy for each measure."""
    return replace(folds, blocks=(*folds.blocks, *_tables(rows)))


def _tables(rows: Sequence[Row]) -> list[Table]:
    tables = []
    for measure in dict.fromkeys(each.measure for each in rows):
        mine = {(each.name, each.fold): each for each in rows if each.measure == measure}
        folds = list(dict.fromkeys(fold for _, fold in mine))
        spread = "; below it ± over seeds" if any(each.std is not None for each in mine.values()) else ""
        found = tuple(
            (Cell(name), *(mine[name, fold].cell if (name, fold) in mine else Cell("–") for fold in folds))
            for name in dict.fromkeys(name for name, _ in mine)
        )
        columns = ("set", *(f"fold {each}" if each.isdecimal() else each for each in folds))
        title = f"Top-2 accuracy in percent, {measure}, by fold{spread}"
        tables.append(Table(f"top2-{measure.replace(' ', '-')}", title, columns, found))
    return tables


def csv_with_top2(by_fold: Sequence[Sequence[str]], rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    """The rows by fold with the top-2 accuracy and its standard deviation as their last columns."""
    known = {(each.measure, each.name, each.fold): each for each in rows}
    found = [(*by_fold[0], HEAD, f"sd {HEAD}")]
    for row in by_fold[1:]:
        mine = known.get((row[0], row[1], row[2]))
        std = "" if mine is None or mine.std is None else f"{mine.std:.2f}"
        found.append((*row, "" if mine is None else f"{mine.values.mean():.2f}", std))
    return tuple(found)
