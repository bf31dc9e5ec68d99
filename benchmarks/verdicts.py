"""Error rates of the verdicts: run `python benchmarks/verdicts.py [--trials 1000] [--jobs 2]`.

Simulates predictions of classifiers with known ground truth and gives them to a comparison's statistics.
Counts how often two equal sets differ significantly (nominal rate 5%), and how often a real difference of
three standard errors is detected, beside the theoretical power. Prints the tables of docs/statistics.md.
Fails (exit 1) if there are more false positives or less power than that, beyond the simulation error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import nct, norm, t

from dfer_model.comparison.statistics import LEVEL, holm, mcnemar, paired_difference, uar_weights

CLASSES, CLIPS = 3, 60  # clips of each class, over all folds
EFFECT = 3.0  # standard errors
FAMILY = 8  # pairs that Holm's correction is tried on
# The effect of one training on all clips of a class, in standard deviations of the clips' difficulty, and its
# effect on each clip separately.
TRAINING = {"none": (0.0, 0.0), "small": (0.05, 0.5), "medium": (0.15, 0.3), "dominant": (0.5, 0.3)}
OWN_TASTE = 0.5  # how much the difficulty of a clip differs between two sets


@dataclass(frozen=True)
class World:
    """A simulated setting of two sets: their training and its variance."""

    training: str
    seeds: int
    folds: int
    same_in_folds: bool  # whether the effect of a seed is the same in all folds

    @property
    def labels(self) -> np.ndarray:
        """The class of each clip."""
        return np.tile(np.repeat(np.arange(CLASSES), CLIPS // self.folds), self.folds)

    @property
    def fold_of(self) -> np.ndarray:
        """The fold of each clip."""
        return np.repeat(np.arange(self.folds), CLASSES * CLIPS // self.folds)

    def answers(self, rng: np.random.Generator, hardness: np.ndarray, edge: float = 0.0) -> np.ndarray:
        """Correct predictions (seeds, clips) of one set; `hardness` (clips,), `edge` makes the set better."""
        of_class, of_clip = TRAINING[self.training]
        taste = OWN_TASTE * rng.normal(size=len(hardness))
        luck = rng.normal(size=(self.seeds, 1 if self.same_in_folds else self.folds, CLASSES))
        luck = np.broadcast_to(luck, (self.seeds, self.folds, CLASSES))[:, self.fold_of, self.labels]
        own = of_clip * rng.normal(size=(self.seeds, len(hardness)))
        return hardness + taste + of_class * luck + own + edge > 0

    def edge_for(self, points: float) -> float:
        """The edge that raises the UAR by this many points from 50."""
        of_class, of_clip = TRAINING[self.training]
        spread = np.sqrt(1 + OWN_TASTE**2 + of_class**2 + of_clip**2)
        return float(spread * norm.ppf(0.5 + points / 100))


@dataclass(frozen=True)
class Found:
    """Shares of the trials, in percent, and the standard error of a difference in points."""

    error: float
    told_apart: float
    by_mcnemar: float
    found: float


def judged(world: World, trials: int, points: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences, p-values and McNemar's p-values (trials,) of a set that is truly `points` better."""
    rng = np.random.default_rng(seed)
    weights = uar_weights(world.labels, world.fold_of)
    edge = world.edge_for(points)
    rows = []
    for _ in range(trials):
        hardness = rng.normal(size=len(world.labels))
        first, second = world.answers(rng, hardness, edge), world.answers(rng, hardness)
        # Each trial has its own bootstrap, so that the trials do not share its error.
        said = paired_difference(
            first, second, weights, world.labels, world.fold_of, seed=int(rng.integers(2**31))
        )
        rows.append((said.value, said.p, mcnemar(first, second).p))
    values, p_values, by_mcnemar = np.array(rows).T
    return values, p_values, by_mcnemar


def tried(world: World, trials: int) -> Found:
    """The rates for equal sets and for one that is three standard errors better, in this setting."""
    values, p_values, by_mcnemar = judged(world, trials, 0.0, seed=1)
    error = float(values.std())
    real_values, real_p, _ = judged(world, trials, EFFECT * error, seed=2)
    right = (real_p <= LEVEL) & (real_values > 0)
    return Found(
        error,
        *(
            100 * float(share)
            for share in ((p_values <= LEVEL).mean(), (by_mcnemar <= LEVEL).mean(), right.mean())
        ),
    )


def power(degrees: float) -> float:
    """How often Student's t detects a difference of three standard errors, in percent."""
    if np.isinf(degrees):
        return 100 * float(norm.sf(norm.isf(LEVEL / 2) - EFFECT))
    return 100 * float(nct.sf(t.isf(LEVEL / 2, degrees), degrees, EFFECT))


def any_of_many(seed: int) -> tuple[bool, bool]:
    """Whether any of eight equal sets differs significantly from one more: by its p-value, and by Holm's."""
    world, rng = World("small", 3, 1, True), np.random.default_rng(seed)
    hardness = rng.normal(size=len(world.labels))
    sets = [world.answers(rng, hardness) for _ in range(FAMILY + 1)]
    weights = uar_weights(world.labels, world.fold_of)
    p_values = [
        paired_difference(each, sets[0], weights, world.labels, world.fold_of, seed=seed + 1).p
        for each in sets[1:]
    ]
    return min(p_values) <= LEVEL, min(holm(p_values)) <= LEVEL


def worlds() -> list[World]:
    """All settings: untrained once, trained with 2, 3 and 5 seeds."""
    untrained = [World("none", 1, folds, True) for folds in (1, 5)]
    trained = [
        World(training, seeds, folds, same)
        for training in ("small", "medium", "dominant")
        for folds, same in ((1, True), (5, False), (5, True))
        for seeds in (2, 3, 5)
    ]
    return untrained + trained


def rows_of(results: Iterable[tuple[World, Found]], allowed: float) -> tuple[list[str], bool]:
    """The rows of the table, and whether all rates are within `allowed` points of the simulation error."""
    lines, well = [], True
    for world, found in results:
        low, high = power(world.seeds - 1 if world.seeds > 1 else np.inf), power(np.inf)
        theory = f"{high:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
        folds = str(world.folds)
        if world.folds > 1 and world.seeds > 1:
            folds += ", shared" if world.same_in_folds else ", independent"
        by_mcnemar = f"{found.by_mcnemar:.1f}" if world.seeds == 1 else ""
        well &= found.told_apart <= 100 * LEVEL + allowed and found.found >= low - 3 * allowed
        lines.append(
            f"| {world.training} | {folds} | {world.seeds} | {found.error:.1f} | {found.told_apart:.1f} | "
            f"{by_mcnemar} | {found.found:.0f} | {theory} |"
        )
    return lines, bool(well)


def main() -> int:
    """Simulate every setting and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2, help="Processes.")
    given = parser.parse_args()
    tries = worlds()
    with ProcessPoolExecutor(given.jobs) as processes:
        found = list(processes.map(partial(tried, trials=given.trials), tries))
        many = np.array(list(processes.map(any_of_many, range(given.trials), chunksize=20)))
    allowed = 300 * np.sqrt(LEVEL * (1 - LEVEL) / given.trials)
    lines, well = rows_of(zip(tries, found, strict=True), allowed)
    print("| seed variance | folds | seeds | standard error | false positives | McNemar | power | theory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    alone, corrected = 100 * many.mean(axis=0)
    print(f"\nAny of {FAMILY} equal sets different: {alone:.1f}% by p alone, {corrected:.1f}% by Holm's.")
    return 0 if well and corrected <= 100 * LEVEL + allowed else 1


if __name__ == "__main__":
    sys.exit(main())
