"""The seed variance of a paired difference, estimated from all sets of a comparison.

With S seeds a pair alone gives S - 1 degrees of freedom: two for three seeds, so Student's t is wide. The
residuals of all sets, after the means of each set and of each seed are removed (two-way analysis of variance
without interaction: H. Scheffé, The Analysis of Variance, 1959, section 4.2), give (sets - 1)(S - 1). They
estimate the variance of a pair only if the sets have equal variances, so both sets are tested for that.
benchmarks/verdicts.py compares rules by their error rates; docs/statistics.md has the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Where the seed variance of a pair comes from: all sets; the pair, if that is larger, with the degrees of
# freedom of all sets; the pair alone.
Source = Literal["pooled", "own, larger than pooled", "own"]

# A set whose variance is larger than that of the others (F test at this level, by number of seeds) keeps its
# pairs' own degrees of freedom. Chosen by simulation: with two seeds the test is weak, and a low level would
# leave too many false verdicts; with three a higher level would cost more power than it saves errors.
OWN_LEVEL = {2: 0.25, 3: 0.025}
OWN_LEVEL_OTHERWISE = 0.05
# A set that fails the test at this level is left out of the variance of the other pairs as well.
POOL_LEVEL = 0.01


@dataclass(frozen=True)
class SeedVariance:
    """The variance of a difference with one seed, in points squared, and its degrees of freedom."""

    variance: float
    degrees: int
    source: Source


def pair_variance(figures: NDArray[np.float64], first: int, second: int) -> SeedVariance:
    """The seed variance of the difference of two of the sets; `figures` is (sets, seeds), seeds at least 2.

    The larger of the pooled and the pair's own variance, with the degrees of freedom of the pooled one. A
    pair with a set that has a clearly larger variance than the others uses its own variance and degrees,
    as do two sets alone. A set with the same figure for every seed, such as a finished run beside trained
    sets, has no seed variance: it is left out of the pool, and its pairs use their own.
    """
    seeds = figures.shape[1]
    own = float((figures[first] - figures[second]).var(ddof=1))
    alone = SeedVariance(own, seeds - 1, "own")
    varies = np.ptp(figures, axis=1) > 0
    if varies.sum() <= 2 or not varies[[first, second]].all():
        return alone
    first, second = int(varies[:first].sum()), int(varies[:second].sum())
    figures = figures[varies]
    p_values = _larger_than_others(figures)
    if min(p_values[[first, second]]) < OWN_LEVEL.get(seeds, OWN_LEVEL_OTHERWISE):
        return alone
    similar = figures[p_values >= POOL_LEVEL]
    pooled = 2 * float((_residuals(similar) ** 2).sum()) / (degrees := (len(similar) - 1) * (seeds - 1))
    if own > pooled:
        return SeedVariance(own, degrees, "own, larger than pooled")
    return SeedVariance(pooled, degrees, "pooled")


def _residuals(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the mean of the set and the mean of the seed do not explain; same shape."""
    centred = figures - figures.mean(axis=1, keepdims=True)
    residuals: NDArray[np.float64] = centred - centred.mean(axis=0)
    return residuals


def _larger_than_others(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values (sets,) of the F test of each set's seed variance against that of the other sets.

    The difference of a set and the mean of the others has S - 1 degrees of freedom; the residual sum of
    squares without it is independent of it and has (sets - 2)(S - 1).
    """
    from scipy.stats import f

    sets, seeds = figures.shape
    squares = (_residuals(figures) ** 2).sum(axis=1) * sets / (sets - 1)
    rest = np.maximum(squares.sum() * (sets - 1) / sets - squares, 0.0)
    # Rounding errors of equal figures are no variance.
    rest[rest < 1e-12 * squares.sum()] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(squares > rest * 1e-12, squares * (sets - 2) / rest, 0.0)
    p_values: NDArray[np.float64] = f.sf(ratio, seeds - 1, (sets - 2) * (seeds - 1))
    return p_values
