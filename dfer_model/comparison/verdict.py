"""The sentences of a comparison: verdicts, caveats, and the number of seeds that more power requires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import LEVEL, Difference

POWER = 0.8
MOST = 100  # seeds that are considered


def more_seeds(difference: Difference, seeds: int) -> int | None:
    """The number of seeds, beyond `seeds`, that detect a true difference of this size with a power of 80%.

    The smallest n with |difference| >= (t(1 - level / 2) + t(0.8)) times the standard error with n seeds, the
    variances and the correction for several pairs as they are (S. Julious, Sample Sizes for Clinical Trials,
    2009, chapter 3). None if no n up to 100 suffices, or if the seed variance is unknown.
    """
    from scipy.stats import t

    noise = difference.noise
    if noise is None or noise.degrees is None:
        return None
    level = LEVEL * difference.p / difference.p_holm
    numbers = np.arange(seeds + 1, MOST + 1)
    degrees = noise.degrees * (numbers - 1) / (seeds - 1)
    errors = np.sqrt(noise.clips + noise.seeds * seeds / numbers)
    enough = abs(difference.value) >= (t.isf(level / 2, degrees) + t.ppf(POWER, degrees)) * errors
    return int(numbers[enough][0]) - seeds if enough.any() else None


# With fewer seeds, Student's t widens the seed part of an interval by a factor of at least 1.6.
FEW_SEEDS = 5
NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Against:
    """The verdict on a set against another, by the UAR."""

    other: str
    verdict: str  # `better`, `worse`, `indistinguishable` or `not shown`
    uar: Difference


def sentences(name: str, measure: str, against: Sequence[Against], controls: Sequence[str]) -> list[str]:
    """The verdict sentences on the set `name`: one for all controls, and one for every other set."""
    of_controls = [each for each in against if each.other in controls]
    found = [f"{name}, {measure}: {_against_controls(of_controls)}"] if of_controls else []
    return found + [
        f"{name}, {measure}: {_against_set(each)}" for each in against if each.other not in controls
    ]


def interval_caveats(trainings: Mapping[str, int], selection: str) -> list[str]:
    """What the intervals of trained measures do not include.

    `trainings` is for each of them the number of trainings that predict every clip: one per seed, or more.
    """
    found = []
    by_number = {
        number: _listed([name for name, each in trainings.items() if each == number])
        for number in sorted(set(trainings.values()))
    }
    for number, names in by_number.items():
        if number == 1:
            found.append(
                f"One seed: the {names} intervals include the sampling variance of the test clips, not the "
                "seed variance, so no set is called better or worse by them; train with --seeds 1-3 or more."
            )
        elif number < FEW_SEEDS:
            found.append(
                f"{number} seeds: the seed variance is estimated from few seeds, which widens the {names} "
                "intervals; more seeds make them narrower."
            )
    if trainings and selection == "test-best":
        found.append(
            f"The epoch was selected on the test fold: {_listed(list(trainings))} figures are optimistically "
            "biased."
        )
    return found


def family_caveats(claims: int, set_pairs: int) -> list[str]:
    """How the verdicts of a measure are corrected: `claims` sets are compared with controls."""
    level = f"{100 * LEVEL:.0f}%"
    found = []
    if claims:
        over = f", and Holm's correction over the {claims} sets" if claims > 1 else ""
        found.append(
            f'"Better than every control" is one claim of a set: each of its pairs is tested at {level}, '
            f"without a correction for the number of controls{over}."
        )
    if set_pairs > 1:
        found.append(f"The {set_pairs} pairs of two sets are corrected together, at {level} (Holm).")
    if claims > 1 or set_pairs > 1:
        found.append(
            "An interval is not corrected, and may exclude zero if the verdict is indistinguishable."
        )
    return found


def seeds_caveats(pairs: Iterable[tuple[str, str, int | None]]) -> list[str]:
    """How many more seeds would resolve the differences that are seen but not shown.

    `pairs` are (measure, "v1 - v2", more seeds), of trained measures; None is more than 100 seeds.
    """
    by_measure: dict[str, dict[int | None, list[str]]] = {}
    for measure, pair, more in pairs:
        by_measure.setdefault(measure, {}).setdefault(more, []).append(pair)
    found = []
    for measure, by_number in by_measure.items():
        never = by_number.pop(None, [])
        counted = sorted((more, named) for more, named in by_number.items() if more is not None)
        parts = [f"about {more} more for {_listed(named)}" for more, named in counted]
        if parts:
            found.append(
                f"{measure}: more seeds would resolve differences, if they stay as seen "
                f"({100 * POWER:.0f}% power): "
                f"{'; '.join(parts)}."
            )
        if never:
            found.append(
                f"{measure}: {MOST} seeds would not resolve {_listed(never)}: the differences are too small "
                "for this number of test clips."
            )
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _against_controls(against: Sequence[Against]) -> str:
    by_verdict = {
        "indistinguishable": "indistinguishable from {}",
        "worse": "worse than {}",
        NOT_SHOWN: "not shown to differ from {}: one seed",
    }
    parts = []
    for verdict, sentence in by_verdict.items():
        named = [each.other for each in against if each.verdict == verdict]
        if named:
            parts.append(sentence.format(", ".join(named)))
    if parts:
        return "; ".join(parts) + "."
    nearest = min(against, key=lambda each: each.uar.value)
    return f"better than every control; the nearest is {nearest.other} ({_interval(nearest.uar)} UAR)."


def _against_set(against: Against) -> str:
    words = {
        "indistinguishable": f"indistinguishable from {against.other}",
        NOT_SHOWN: f"not shown to differ from {against.other}: one seed",
    }
    sentence = words.get(against.verdict, f"{against.verdict} than {against.other}")
    return f"{sentence} ({_interval(against.uar)} UAR)."


def _interval(difference: Difference) -> str:
    return f"{difference.value:+z.1f}, 95% interval {difference.low:+z.1f} to {difference.high:+z.1f}"
