"""Predictions by class: recalls and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .by_fold import FIGURES, percents
from .render import Block, Cell, Folded, Section, Table, paragraph
from .stored import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dfer_model.comparison.record import ComparedModel

ALL_FOLDS = "all folds together"
MATRIX_NOTE = "Rows: true class; columns: predicted class. A row sums to 100%; all folds and seeds together."
SHADES = 10
BESIDE = 14  # classes up to which two matrices fit beside each other
OPEN, OPEN_LARGE = 6, 2  # matrices of a measure that are not collapsed; fewer for many classes
AGAIN = "repeat the compare command below to store them"


@dataclass(frozen=True)
class ClassCounts:
    """Predictions by class: `counts` is (seeds, true classes, predicted classes).

    `folds` are the counts of each test fold, of the same shape; empty if they are not stored by fold.
    """

    class_names: tuple[str, ...]
    counts: NDArray[np.int64]
    folds: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)

    def recalls(self) -> dict[str, tuple[float, float | None]]:
        """The mean recall in percent of each class that has clips, and its standard deviation over seeds."""
        clips = self.counts.sum(axis=2)
        found = {}
        for label, name in enumerate(self.class_names):
            if clips[:, label].all():
                by_seed = 100 * self.counts[:, label, label] / clips[:, label]
                spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
                found[name] = float(by_seed.mean()), spread
        return found


ByMeasure = Mapping[str, Mapping[str, ClassCounts]]  # by measure, then by set


def class_counts(of: Stored) -> ByMeasure:
    """The predictions under each measure, as far as they are stored."""
    found: dict[str, dict[str, ClassCounts]] = {}
    for measure, stored in of.confusions.items():
        classes = tuple(stored["class_names"])
        folds = stored.get("folds", {})  # not in files of earlier versions
        found[measure] = {
            name: ClassCounts(classes, np.asarray(it), _numbered(folds.get(name, {})))
            for name, it in stored["sets"].items()
        }
    for measure in of.comparison.measures:
        if measure not in found and (by_set := _of_runs(of, measure)):
            found[measure] = by_set
    if of.record.models:
        models = {each.run: _of_model(each) for each in of.record.models}
        found["trained"] = {**models, **found.get("trained", {})}
    return found


def _numbered(folds: Mapping[str, Any]) -> dict[int, NDArray[np.int64]]:
    """The counts of each fold by its number, which is text in JSON."""
    return {int(fold): np.asarray(counts, dtype=np.int64) for fold, counts in folds.items()}


def _of_model(model: ComparedModel) -> ClassCounts:
    counts = np.asarray(model.confusion, dtype=np.int64)[None]
    return ClassCounts(tuple(model.recalls), counts, {model.fold: counts})


def _of_runs(of: Stored, measure: str) -> dict[str, ClassCounts]:
    """The predictions of the runs of a measure, for each fold and together; empty if a run is missing.

    For a run with a held-out class, only the clips of that class count.
    """
    mine = [each for each in of.trained if each.measure == measure] if measure != "transfer" else []
    sums: dict[tuple[str, int, int], NDArray[np.int64]] = {}
    for each in mine:
        _, measured = of.measured(each)
        if not measured:
            return {}
        counts = np.asarray(measured["confusion"], dtype=np.int64)
        if measure == "held-out-class":
            counts = counts * (np.arange(len(counts)) == each.variant)[:, None]
        key = each.name, each.fold, each.seed
        sums[key] = sums[key] + counts if key in sums else counts
    names, folds, seeds = (dict.fromkeys(part) for part in zip(*sums, strict=True)) if sums else ({}, {}, {})
    found = {}
    for name in names:
        by_fold = {fold: np.stack([sums[name, fold, seed] for seed in sorted(seeds)]) for fold in folds}
        found[name] = ClassCounts(tuple(of.class_names), np.sum(list(by_fold.values()), axis=0), by_fold)
    return found


def recall_table(
    measure: str, by_set: Mapping[str, ClassCounts], order: Iterable[str], over: str = ALL_FOLDS
) -> Table:
    """The recalls of a measure `over` some clips: a row for each set in `order`.

    The columns are UAR, WAR and each class; UAR and WAR are of all these clips together.
    """
    recalls = {name: by_set[name].recalls() for name in order if name in by_set}
    classes = list(dict.fromkeys(name for each in by_set.values() for name in each.class_names))
    rows = tuple(
        (Cell(name), *_figure_cells(by_set[name]), *(_recall_cell(found.get(each)) for each in classes))
        for name, found in recalls.items()
    )
    return _recall_rows(measure, (*FIGURES, *classes), rows, over)


def _recall_rows(
    measure: str, columns: Sequence[str], rows: tuple[tuple[Cell, ...], ...], over: str
) -> Table:
    spread = "; below it ± over seeds" if any(cell.below for row in rows for cell in row) else ""
    title = f"Recall of each class in percent, {measure}, {over}{spread}"
    return Table(f"recalls-{measure}", title, ("set", *columns), rows, heat=True)


def _figure_cells(of: ClassCounts) -> list[Cell]:
    """UAR and WAR of all clips together, with their standard deviation over seeds."""
    by_seed = percents(of.counts)[:, : len(FIGURES)]
    spreads = by_seed.std(axis=0, ddof=1).tolist() if len(by_seed) > 1 else [None] * len(FIGURES)
    return [
        Cell(f"{mean:.1f}", f"±{spread:.1f}" if spread is not None else "")
        for mean, spread in zip(by_seed.mean(axis=0).tolist(), spreads, strict=True)
    ]


def _recall_cell(found: tuple[float, float | None] | None) -> Cell:
    if found is None:
        return Cell("–")
    mean, spread = found
    return Cell(f"{mean:.0f}", f"±{spread:.0f}" if spread is not None else "", shade=_shade(mean))


def _shade(percent: float) -> int:
    return round(percent / 100 * SHADES)


def recall_section(of: Stored, found: ByMeasure) -> Section:
    """The recalls of every measure, or a note if they are not stored."""
    blocks: list[Block] = []
    order = [each.name for each in of.comparison.rows]
    for measure in of.comparison.measures:
        if measure in found:
            blocks.append(recall_table(measure, found[measure], order))
        elif "recalls" in of.comparison.sets[0].measures[measure].curves:
            blocks.append(_curve_table(of, measure))
        else:
            blocks.append(paragraph(f"{measure}: recalls of the classes are not stored here; {AGAIN}."))
    return Section("recalls", "Recall of each class", tuple(blocks))


def _curve_table(of: Stored, measure: str) -> Table:
    recalls = {each.name: each.measures[measure].curves["recalls"] for each in of.comparison.rows}
    classes = list(recalls[of.names[0]])
    rows = tuple(
        (Cell(name), *(_recall_cell((it.mean, it.std)) for it in curve.values()))
        for name, curve in recalls.items()
    )
    return _recall_rows(measure, classes, rows, ALL_FOLDS)


def confusion_section(of: Stored, found: ByMeasure) -> Section:
    """The confusion matrices of every measure, set by set, or a note if they are not stored."""
    blocks: list[Block] = []
    order = [each.name for each in of.comparison.rows]
    for measure in of.comparison.measures:
        if measure not in found:
            blocks.append(paragraph(f"{measure}: confusion matrices are not stored here; {AGAIN}."))
            continue
        by_set = [(name, found[measure][name]) for name in order if name in found[measure]]
        tables = [
            confusion_table(f"confusion-{measure}-{place}", f"{name}, {measure}", each)
            for place, (name, each) in enumerate(by_set)
        ]
        shown = OPEN if all(each.beside for each in tables) else OPEN_LARGE
        blocks += tables[:shown]
        if tables[shown:]:
            blocks.append(Folded(f"{measure}: {len(tables) - shown} more", tuple(tables[shown:])))
    return Section("confusion", "Confusion matrices", (paragraph(MATRIX_NOTE), *blocks))


def confusion_table(key: str, title: str, of: ClassCounts) -> Table:
    """The predictions for each true class in percent of its clips; zero is empty, no clips is –."""
    counts = of.counts.sum(axis=0)
    rows = tuple(
        (Cell(name), *_percents(row)) for name, row in zip(of.class_names, counts.tolist(), strict=True)
    )
    beside = len(of.class_names) <= BESIDE
    return Table(key, title, ("true class", *of.class_names), rows, heat=True, beside=beside)


def _percents(row: Sequence[int]) -> list[Cell]:
    total = sum(row)
    if not total:
        return [Cell("–") for _ in row]
    return [
        Cell(f"{100 * each / total:.0f}", shade=_shade(100 * each / total)) if each else Cell("")
        for each in row
    ]
