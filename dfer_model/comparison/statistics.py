"""Is one set better than another, or luckier? Paired differences over the same clips, folds and seeds.

The figure of a set is the one the field publishes: the measure on each test fold, averaged over folds, then
over seeds. Written as a sum over clips it is linear, so the same weights give the figure, the difference of
two figures and, resampled, the interval of that difference.

Two kinds of luck are in a difference. That of the clips is found by resampling them (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). That of training is the spread of the
difference over seeds, and seeds are few: resampling S of them with replacement understates their variance
by (S - 1) / S and knows nothing of Student's t. docs/statistics.md says how the two are put together, and
benchmarks/verdicts.py tries it on answers whose truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# With (RESAMPLES + 1) * 0.025 whole, a 95% interval leaves out zero just where p <= 0.05.
RESAMPLES = 3999
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A difference of two figures, in percentage points, with its interval and its p-value."""

    value: float
    low: float
    high: float
    per_fold: dict[int, float]
    p: float  # two-sided; at least 2 / (RESAMPLES + 1)
    p_holm: float  # p as Holm corrects it for all pairs it is judged among; p itself where it is alone

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `indistinguishable` where the corrected p-value is above 0.05."""
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
    """How many clips one set answers rightly and the other does not, and what that is worth."""

    first_only: int
    second_only: int
    p: float  # two-sided, exact


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
    """The figure of `first` minus that of `second`, with an interval that holds both kinds of luck.

    `first` and `second` (seeds, clips) say which clips were answered rightly, seeds and clips in the same
    order. Clips are resampled within each fold and class, both sets alike. With two seeds or more the spread
    of the difference over seeds is added as Student's t with one degree of freedom fewer than there are
    seeds, once for all folds: the same seed in two folds need not be two lucks. With one seed the
    interval and p hold the luck of the clips alone.
    """
    gains = first.astype(np.float64) - second.astype(np.float64)
    by_seed = gains @ weights
    value = float(by_seed.mean())
    present = np.unique(folds)
    shares = gains.mean(axis=0) * weights
    per_fold = {int(fold): float(shares[folds == fold].sum() * len(present)) for fold in present}
    rng = np.random.default_rng(seed)
    draws = value + _clip_luck(gains * weights, _strata(labels, folds), rng) + _training_luck(by_seed, rng)
    low, high = np.clip(_ends(draws, confidence), -weights.sum(), weights.sum())
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, float(2 * (beyond + 1) / (RESAMPLES + 1)))
    return Difference(value, float(low), float(high), per_fold, p, p_holm=p)


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
    value = float(correct @ weights)
    draws = value + _resample(correct * weights, _strata(labels, folds), np.random.default_rng(seed))
    low, high = _ends(draws, confidence)
    return Interval(value, low, high)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test on answers (seeds, clips) of two sets to the same clips, all folds pooled.

    A clip counts once, for the set that answers it rightly with more seeds, and for neither where they draw:
    answers of several seeds to one clip are not independent. With one seed this is the test as Q. McNemar has
    it (Psychometrika 12, 1947), exact by the binomial distribution. It holds the luck of the clips alone.
    """
    from scipy.stats import binomtest

    balance = first.sum(axis=0, dtype=np.int64) - second.sum(axis=0, dtype=np.int64)
    for_first, for_second = int((balance > 0).sum()), int((balance < 0).sum())
    decided = for_first + for_second
    return McNemar(for_first, for_second, float(binomtest(for_first, decided).pvalue) if decided else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value as corrected for all: S. Holm, Scandinavian Journal of Statistics 6, 1979.

    The chance that any of them is at most 0.05 where no difference is real is at most 0.05.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(each) for each in corrected]


def _strata(labels: NDArray[np.int64], folds: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The clips that are resampled together: those of a class in a fold, and the lone clips of a fold.

    A class with one clip would show no luck at all. Collapsed into one stratum, lone clips show too much
    rather than too little (W. Cochran, Sampling Techniques, 1977, section 5A.12); one that is alone even so
    joins the smallest class of its fold.
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


def _clip_luck(
    parts: NDArray[np.float64], strata: list[NDArray[np.intp]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws (resamples,) of the luck of the clips that all seeds share, from each clip's part (seeds, clips).

    What a clip does with one seed and not with the next is in the spread over seeds already. The variance of
    the mean over S seeds is (own + (S - 1) * shared) / S, which gives the shared one.
    """
    seeds, mean = len(parts), parts.mean(axis=0)
    luck = _resample(mean, strata, rng)
    of_mean = _variance(mean, strata)
    if seeds == 1 or of_mean == 0:
        return luck
    own = np.mean([_variance(each, strata) for each in parts])
    shared = max(0.0, float(seeds * of_mean - own) / (seeds - 1))
    luck *= np.sqrt(shared / of_mean)
    return luck


def _training_luck(by_seed: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws (resamples,) of the luck of training in the mean over seeds; zeros where there is one seed."""
    seeds = len(by_seed)
    if seeds == 1:
        return np.zeros(RESAMPLES)
    luck: NDArray[np.float64] = rng.standard_t(seeds - 1, RESAMPLES)
    luck *= by_seed.std(ddof=1) / np.sqrt(seeds)
    return luck


def _variance(parts: NDArray[np.float64], strata: list[NDArray[np.intp]]) -> float:
    """The variance of the sum of `parts` (clips,) over draws of the clips of each stratum."""
    return float(sum(len(each) * parts[each].var(ddof=1) for each in strata if len(each) > 1))


def _resample(
    parts: NDArray[np.float64], strata: list[NDArray[np.intp]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws (resamples,) of the sum of `parts` (clips,) less their sum, clips resampled in each stratum.

    Of n clips n - 1 are drawn, which makes the variance unbiased however few they are (J. Rao and C. Wu,
    Journal of the American Statistical Association 83, 1988).
    """
    luck = np.zeros(RESAMPLES)
    for members in strata:
        clips = len(members)
        values, counts = np.unique(parts[members], return_counts=True)
        if len(values) > 1:
            drawn = rng.multinomial(clips - 1, counts / clips, size=RESAMPLES) @ values
            luck += clips * (drawn / (clips - 1) - parts[members].mean())
    return luck


def _ends(draws: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="weibull")
    return float(low), float(high)
