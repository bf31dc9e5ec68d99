"""Learning curves: the loss, and the WAR that epochs were selected by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from .render import Block, Picture, Section, paragraph
from .stored import Stored, learned

ON_THE_WAY = {"val": "WAR on validation clips", "test": "WAR on the test fold"}
Rows = Sequence[Mapping[str, Any]]


def learning(of: Stored) -> Section:
    """The curves of every measure that trained."""
    blocks: list[Block] = []
    for measure in of.comparison.measures:
        by_set: dict[str, dict[int, list[Rows]]] = {}
        for each in of.trained:
            if each.measure == measure and (rows := learned(of.runs / each.run)):
                by_set.setdefault(each.name, {}).setdefault(each.seed, []).append(rows)
        blocks += learning_pictures(measure, by_set, of.comparison.controls)
    expected = any(each.run for each in of.trained)
    if expected and not blocks:
        blocks.append(paragraph("The runs no longer exist, so there are no learning curves."))
    return Section("learning", "Learning curves", tuple(blocks))


def learning_pictures(
    measure: str, by_set: Mapping[str, Mapping[int, Sequence[Rows]]], controls: Iterable[str]
) -> list[Block]:
    """The loss of each set over the epochs, and the measure that epochs were selected by, if any.

    `by_set` has the rows of each training by set, then by seed.
    """
    from dfer_model.reports.page_figures import Curve, curves

    values = {"loss": "training loss", **ON_THE_WAY}
    pictures: list[Block] = []
    for what, title in values.items():
        drawn = []
        for name, seeds in by_set.items():
            means = [_mean(trainings, what) for trainings in seeds.values()]
            epochs = sorted(set.intersection(*map(set, means))) if means else []
            if epochs:
                at = [[mean[epoch] for mean in means] for epoch in epochs]
                spreads = [stdev(each) if len(each) > 1 else 0.0 for each in at]
                drawn.append(Curve(name, epochs, list(map(fmean, at)), spreads, name in controls))
        if drawn:
            ends = "; ".join(f"{each.name} {each.values[-1]:.3g}" for each in drawn)
            label = f"{title} over epochs, {measure}; at the last one: {ends}"
            draw = partial(curves, f"learning-{measure}-{what}", label, ("epoch", title), drawn, {})
            caption = f"{measure}: {title}{_averaged(by_set)}."
            pictures.append(Picture(caption, draw))
    return pictures


def _averaged(by_set: Mapping[str, Mapping[int, Sequence[Rows]]]) -> str:
    """The part of a caption about the trainings of a curve."""
    if all(
        len(trainings) == 1 and len(seeds) == 1 for seeds in by_set.values() for trainings in seeds.values()
    ):
        return ""
    several = any(len(seeds) > 1 for seeds in by_set.values())
    return ", the mean over trainings" + (", ± one standard deviation over seeds" if several else "")


def _mean(trainings: Sequence[Rows], what: str) -> dict[int, float]:
    """The mean over the trainings of one seed, by epoch, for the epochs common to all."""
    found = [{int(row["epoch"]): _value(row[what]) for row in rows if what in row} for rows in trainings]
    epochs = set.intersection(*map(set, found))
    return {epoch: fmean(each[epoch] for each in found) for epoch in epochs}


def _value(recorded: Any) -> float:
    return float(recorded["war"] if isinstance(recorded, Mapping) else recorded)


def run_learning(folder: Path, name: str, seed: int) -> list[Block]:
    """The curves of one run."""
    rows = learned(folder)
    return learning_pictures("this run", {name: {seed: [rows]}}, ()) if rows else []
