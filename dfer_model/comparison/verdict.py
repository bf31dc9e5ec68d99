"""What a comparison's differences say, in sentences, and what its intervals do not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .statistics import LEVEL, Difference

# With fewer, Student's t makes the luck of training count at least 1.6 times as much as with many.
FEW_SEEDS = 5
NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Against:
    """How a set stands against another, by the UAR."""

    other: str
    verdict: str  # `better`, `worse`, `indistinguishable` or `not shown`
    uar: Difference


def sentences(name: str, measure: str, against: Sequence[Against], controls: Sequence[str]) -> list[str]:
    """What `measure` says of the set `name`: a sentence on the controls, and one on every other set."""
    of_controls = [each for each in against if each.other in controls]
    said = [f"{name}, {measure}: {_against_controls(of_controls)}"] if of_controls else []
    return said + [
        f"{name}, {measure}: {_against_set(each)}" for each in against if each.other not in controls
    ]


def luck_caveats(trainings: Mapping[str, int], selection: str, pairs: int) -> list[str]:
    """What the intervals of trained measures do not hold.

    `trainings` says for each of them how many trainings judge every clip: one a seed, or more.
    """
    said = []
    by_number = {
        number: _listed([name for name, each in trainings.items() if each == number])
        for number in sorted(set(trainings.values()))
    }
    for number, names in by_number.items():
        if number == 1:
            said.append(
                f"One seed: the {names} intervals hold the luck of the clips, not that of training, so no "
                "set is called better or worse by them; train with --seeds 1-3 or more."
            )
        elif number < FEW_SEEDS:
            said.append(
                f"{number} seeds: so few tell little of the luck of training, and the {names} intervals are "
                "wide for it; more seeds make them narrower."
            )
    if pairs > 1:
        said.append(
            f"Verdicts are for all {pairs} pairs of a measure together, at {100 * LEVEL:.0f}% (Holm); an "
            "interval is for its pair alone, and may leave out zero where the verdict is indistinguishable."
        )
    if trainings and selection == "test-best":
        said.append(
            f"The epoch was chosen on the fold that judges: {_listed(list(trainings))} figures are flattered."
        )
    return said


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
    said = {
        "indistinguishable": f"indistinguishable from {against.other}",
        NOT_SHOWN: f"not shown to differ from {against.other}: one seed",
    }
    sentence = said.get(against.verdict, f"{against.verdict} than {against.other}")
    return f"{sentence} ({_interval(against.uar)} UAR)."


def _interval(difference: Difference) -> str:
    return f"{difference.value:+z.1f}, 95% interval {difference.low:+z.1f} to {difference.high:+z.1f}"
