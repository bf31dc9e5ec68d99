"""Is one set better than another, or luckier? Paired differences over the same clips, folds and seeds.

The figure of a set is the one the field publishes: the measure on each test fold, averaged over folds, then
over seeds. Written as a sum over clips it is linear, so the same weights give the figure, the difference of
two figures and, resampled, the interval of that difference (B. Efron and R. Tibshirani, An Introduction to
the Bootstrap, 1993, chapter 13: the percentile interval).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """A difference of two figures, in percentage points, with its interval."""

    value: float
    low: float
    high: float
    per_fold: dict[int, float]

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `indistinguishable` where the interval holds zero."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "indistinguishable"


@dataclass(frozen=True)
class Interval:
    """A figure in percent, with its interval."""

    value: float
    low: float
    high: float


def uar_weights(labels: NDArray[np.int64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (clips,) that sum correct answers to the UAR in percent, averaged over the folds.

    UAR is over the classes that occur in a fold; a class absent from it does not count.
    """
    weights = np.zeros(len(labels))
    present = np.unique(folds)
    for fold in present:
        in_fold = folds == fold
        classes, counts = np.unique(labels[in_fold], return_counts=True)
        for label, count in zip(classes, counts, strict=True):
            weights[in_fold & (labels == label)] = 100 / (len(present) * len(classes) * count)
    return weights


def war_weights(folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (clips,) that sum correct answers to the WAR in percent, averaged over the folds."""
    present, inverse, counts = np.unique(folds, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = 100 / (len(present) * counts[inverse])
    return weights


def paired_difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    weights: NDArray[np.float64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The figure of `first` minus that of `second`, with a stratified paired bootstrap interval.

    `first` and `second` (seeds, clips) say which clips were answered rightly, seeds and clips in the same
    order. Clips are resampled within each fold and class, seeds with replacement, both sets alike:
    the interval holds the luck of the clips and, with two seeds or more, that of training.
    """
    gains = first.astype(np.float64) - second.astype(np.float64)
    per_fold = {
        int(fold): float((gains.mean(0) * weights)[folds == fold].sum() * len(np.unique(folds)))
        for fold in np.unique(folds)
    }
    draws = _resample(gains, weights, _strata(labels, folds), np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(float((gains.mean(0) * weights).sum()), float(low), float(high), per_fold)


def figure_interval(
    correct: NDArray[np.bool_],
    weights: NDArray[np.float64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The figure of one set of answers (clips,), with a bootstrap interval: the luck of the clips alone.

    Clips are resampled within each fold and class, as in `paired_difference`. Two intervals that overlap do
    not say that their figures are alike: for that, the difference has an interval of its own.
    """
    answers = correct.astype(np.float64)[None]  # (1, clips)
    draws = _resample(answers, weights, _strata(labels, folds), np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(answers[0] @ weights), float(low), float(high))


def _strata(labels: NDArray[np.int64], folds: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    pairs = np.stack([folds, labels], axis=1)
    _, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return [np.flatnonzero(inverse.ravel() == stratum) for stratum in range(inverse.max() + 1)]


def _resample(
    gains: NDArray[np.float64],
    weights: NDArray[np.float64],
    strata: list[NDArray[np.intp]],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    seeds = len(gains)
    # How often each seed is drawn in each resample, as shares: (resamples, seeds).
    shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    totals = np.zeros(RESAMPLES)
    for members in strata:
        counts = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=RESAMPLES)
        by_seed = (counts * weights[members]) @ gains[:, members].T  # (resamples, seeds)
        totals += (by_seed * shares).sum(axis=1)
    return totals
