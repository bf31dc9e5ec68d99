"""Paired differences of two sets over the same clips, folds and seeds, with intervals and p-values.

The figure of a set is the published one: the measure on each test fold, averaged over folds, then over seeds.
It is a weighted sum over clips, so the same weights give the figure, the difference of two figures and,
resampled, the interval of that difference.

A difference has two sources of variance. The sampling variance of the test clips is estimated by the
bootstrap (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The seed variance
is the spread of the difference over seeds (seed_variance.py). It is not resampled: drawing S seeds with
replacement underestimates the variance by (S - 1) / S and ignores Student's t. docs/statistics.md describes
how both are combined; benchmarks/verdicts.py simulates it with known ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .seed_variance import SeedVariance

# With (RESAMPLES + 1) * 0.025 whole, a 95% interval excludes zero exactly if p <= 0.05.
RESAMPLES = 3999
LEVEL = 0.05


@dataclass(frozen=True)
class Noise:
    """The two variances of a difference, in points squared; its squared standard error is their sum.

    `clips` is the sampling variance of the test clips, `seeds` the seed variance of the mean over the seeds.
    """

    clips: float
    seeds: float
    degrees: int | None  # degrees of freedom of the seed variance; None for one seed
    source: str | None  # of the seed variance: `pooled`, `own, larger than pooled` or `own`


@dataclass(frozen=True)
class Difference:
    """A difference of two figures, in percentage points, with its interval and its p-value."""

    value: float
    low: float
    high: float
    per_fold: dict[int, float]
    p: float  # two-sided; at least 2 / (RESAMPLES + 1)
    p_holm: float  # p corrected in the family of the pair (`p_values_by_family`); p itself for a single pair
    noise: Noise | None = None  # None in files of version 0.1.0

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `indistinguishable` if the corrected p-value is above 0.05."""
        if self.p_holm > LEVEL:
            return "indistinguishable"
        return "better" if self.value > 0 else "worse"


@dataclass(frozen=True)
class Interval:
    """A figure in percent, with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """The number of clips that only one of two sets predicts correctly, and the p-value."""

    first_only: int
    second_only: int
    p: float  # two-sided, exact


def uar_weights(labels: NDArray[np.int64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (clips,) that sum correct predictions to the UAR in percent, averaged over the folds.

    The UAR of a fold is over the classes that occur in it.
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
    """Weights (clips,) that sum correct predictions to the WAR in percent, averaged over the folds."""
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
    seed_variance: SeedVariance | None = None,
) -> Difference:
    """The figure of `first` minus that of `second`; the interval includes sampling and seed variance.

    `first` and `second` (seeds, clips) are the correct predictions, seeds and clips in the same order. Clips
    are resampled within each fold and class, the same ones for both sets. With S >= 2 seeds the seed variance
    is added, once for all folds: the same seed in two folds need not be independent. `seed_variance` is that
    of a comparison of several sets; without it the spread of this difference is used, with S - 1 degrees of
    freedom. With one seed the interval and p include only the sampling variance of the clips.
    """
    gains = first.astype(np.float64) - second.astype(np.float64)
    by_seed = gains @ weights
    seeds = len(by_seed)
    value = float(by_seed.mean())
    present = np.unique(folds)
    shares = gains.mean(axis=0) * weights
    per_fold = {int(fold): float(shares[folds == fold].sum() * len(present)) for fold in present}
    rng = np.random.default_rng(seed)
    draws, of_clips = _clip_noise(gains * weights, _strata(labels, folds), rng)
    noise = Noise(of_clips, 0.0, None, None)
    if seeds > 1:
        spread = seed_variance or SeedVariance(float(by_seed.var(ddof=1)), seeds - 1, "own")
        noise = Noise(of_clips, spread.variance / seeds, spread.degrees, spread.source)
        draws += np.sqrt(noise.seeds) * rng.standard_t(spread.degrees, RESAMPLES)
    draws += value
    low, high = np.clip(_ends(draws, confidence), -weights.sum(), weights.sum())
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, float(2 * (beyond + 1) / (RESAMPLES + 1)))
    return Difference(value, float(low), float(high), per_fold, p, p, noise)


def figure_interval(
    correct: NDArray[np.bool_],
    weights: NDArray[np.float64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The figure of correct predictions (clips,), with a bootstrap interval of the clips' sampling variance.

    Clips are resampled within each fold and class, as in `paired_difference`. Overlapping intervals do not
    show that two figures are equal; use the interval of the difference.
    """
    value = float(correct @ weights)
    draws = value + _resample(correct * weights, _strata(labels, folds), np.random.default_rng(seed))
    low, high = _ends(draws, confidence)
    return Interval(value, low, high)


def bootstrap_sums(
    parts: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64], *, seed: int = 0
) -> NDArray[np.float64]:
    """The sum of `parts` (clips,) in each of `RESAMPLES` bootstrap samples of the clips, (resamples,).

    Clips are resampled within each fold and class, as in `paired_difference`.
    """
    return float(parts.sum()) + _resample(parts, _strata(labels, folds), np.random.default_rng(seed))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test on correct predictions (seeds, clips) of two sets, all folds pooled.

    A clip counts once, for the set that predicts it correctly with more seeds, and for neither in a tie,
    because predictions of several seeds for one clip are not independent. With one seed it is the test of
    Q. McNemar (Psychometrika 12, 1947), exact by the binomial distribution. Seed variance is not included.
    """
    from scipy.stats import binomtest

    balance = first.sum(axis=0, dtype=np.int64) - second.sum(axis=0, dtype=np.int64)
    for_first, for_second = int((balance > 0).sum()), int((balance < 0).sum())
    decided = for_first + for_second
    return McNemar(for_first, for_second, float(binomtest(for_first, decided).pvalue) if decided else 1.0)


def _strata(labels: NDArray[np.int64], folds: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The strata of the bootstrap: the clips of a class in a fold, and the single clips of a fold together.

    A class with one clip would have no variance. Collapsed into one stratum, single clips have too much
    variance rather than too little (W. Cochran, Sampling Techniques, 1977, section 5A.12); if a fold has only
    one such clip, it joins the smallest class of the fold.
    """
    strata: list[NDArray[np.intp]] = []
    for fold in np.unique(folds):
        here = np.flatnonzero(folds == fold)
        classes = [here[labels[here] == label] for label in np.unique(labels[here])]
        lone = [each for each in classes if len(each) == 1]
        own = sorted((each for each in classes if len(each) > 1), key=len)
        joined = lone + (own[:1] if len(lone) == 1 else [])
        strata += own[1:] if len(lone) == 1 else own
        strata += [np.concatenate(joined)] if joined else []
    return strata


def _clip_noise(
    parts: NDArray[np.float64], strata: list[NDArray[np.intp]], rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Draws (resamples,) of the sampling noise of the clips that all seeds share, and its variance.

    `parts` is (seeds, clips). What a clip contributes with one seed and not with another is part of the seed
    variance already. The variance of the mean over S seeds is (own + (S - 1) * shared) / S, which is solved
    for `shared`.
    """
    seeds, mean = len(parts), parts.mean(axis=0)
    noise = _resample(mean, strata, rng)
    of_mean = _variance(mean, strata)
    if seeds == 1 or of_mean == 0:
        return noise, of_mean
    own = np.mean([_variance(each, strata) for each in parts])
    shared = max(0.0, float(seeds * of_mean - own) / (seeds - 1))
    noise *= np.sqrt(shared / of_mean)
    return noise, shared


def _variance(parts: NDArray[np.float64], strata: list[NDArray[np.intp]]) -> float:
    """The variance of the sum of `parts` (clips,) over draws of the clips of each stratum."""
    return float(sum(len(each) * parts[each].var(ddof=1) for each in strata if len(each) > 1))


def _resample(
    parts: NDArray[np.float64], strata: list[NDArray[np.intp]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws (resamples,) of the sum of `parts` (clips,) minus its value, clips resampled in each stratum.

    Of n clips n - 1 are drawn, which makes the variance unbiased for any n (J. Rao and C. Wu,
    Journal of the American Statistical Association 83, 1988).
    """
    noise = np.zeros(RESAMPLES)
    for members in strata:
        clips = len(members)
        values, counts = np.unique(parts[members], return_counts=True)
        if len(values) > 1:
            drawn = rng.multinomial(clips - 1, counts / clips, size=RESAMPLES) @ values
            noise += clips * (drawn / (clips - 1) - parts[members].mean())
    return noise


def _ends(draws: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="weibull")
    return float(low), float(high)
