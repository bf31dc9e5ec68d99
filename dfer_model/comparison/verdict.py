"""The sentences of a comparison: verdicts, and caveats on what its intervals do not include."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .statistics import LEVEL, Difference

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


def interval_caveats(trainings: Mapping[str, int], selection: str, pairs: int) -> list[str]:
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
    if pairs > 1:
        found.append(
            f"Verdicts are corrected for all {pairs} pairs of a measure, at {100 * LEVEL:.0f}% (Holm). An "
            "interval is not corrected, and may exclude zero if the verdict is indistinguishable."
        )
    if trainings and selection == "test-best":
        found.append(
            f"The epoch was selected on the test fold: {_listed(list(trainings))} figures are optimistically "
            "biased."
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
