"""What a grid of runs says: figures with their spread, paired differences, and a verdict in words.

Supervised figures never stand alone. Trained long enough on enough clips a classifier learns any distinct
class weights, right or swapped; so each set is shown zero-shot beside trained, and against its controls.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .runs import ClassTexts, Run
from .statistics import (
    LEVEL,
    Difference,
    McNemar,
    holm,
    mcnemar,
    paired_difference,
    uar_weights,
    war_weights,
)

# With fewer, Student's t makes the luck of training count at least 1.6 times as much as with many.
FEW_SEEDS = 5
MEASURES = ("zero-shot", "trained")
NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Figure:
    """A measure in percent: mean over folds and seeds, standard deviation over seeds (None for one)."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Answers:
    """Which clips each set answered rightly: `correct[name]` is (seeds, clips), clips as in `labels`."""

    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    correct: Mapping[str, NDArray[np.bool_]]

    def figure(self, name: str, weights: NDArray[np.float64]) -> Figure:
        """The set's measure under `uar_weights` or `war_weights`."""
        by_seed = self.correct[name] @ weights
        spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
        return Figure(float(by_seed.mean()), spread)


@dataclass(frozen=True)
class Pair:
    """One set against another under one measure of what a text is worth."""

    measure: str
    first: str
    second: str
    uar: Difference
    war: Difference
    mcnemar: McNemar  # for WAR, all folds pooled
    # By the UAR, as corrected for all pairs of the measure: `better`, `worse`, `indistinguishable`, or
    # `not shown` where one seed was trained and the luck of the clips alone does not explain the difference.
    verdict: str


@dataclass(frozen=True)
class SetFigures:
    """One row of the table."""

    name: str
    is_control: bool
    zero_shot_uar: Figure
    zero_shot_war: Figure
    trained_uar: Figure
    trained_war: Figure


@dataclass(frozen=True)
class Comparison:
    """The whole result; `selection` says which epoch the trained figures come from."""

    selection: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    sets: tuple[SetFigures, ...]
    pairs: tuple[Pair, ...]
    verdicts: tuple[str, ...]
    caveats: tuple[str, ...]  # what the intervals do not hold


def trained_answers(runs: Sequence[Run], texts: Sequence[ClassTexts], selection: str) -> Answers:
    """Gather the test predictions of a grid's runs, in the order of `Grid.specs` (fold, seed, set).

    Every clip is judged once per seed: by the run whose test fold it is in.
    """
    by_key = {(run.texts.name, run.fold, run.seed): run.predictions(selection) for run in runs}
    folds = sorted({run.fold for run in runs})
    seeds = sorted({run.seed for run in runs})
    labels = {fold: by_key[texts[0].name, fold, seeds[0]].labels for fold in folds}
    correct = {
        text.name: np.stack(
            [
                np.concatenate(
                    [by_key[text.name, fold, seed].logits.argmax(axis=1) == labels[fold] for fold in folds]
                )
                for seed in seeds
            ]
        )
        for text in texts
    }
    return Answers(
        np.concatenate([labels[fold] for fold in folds]),
        np.concatenate([np.full(len(labels[fold]), fold) for fold in folds]),
        correct,
    )


def compare(
    trained: Answers, zero_shot: Answers, controls: Sequence[str], seeds: Sequence[int], selection: str
) -> Comparison:
    """Put figures, paired differences and verdicts together.

    Each set is paired with every control and with the first set named; controls are paired with nothing else.
    """
    names = list(trained.correct)
    candidates = [name for name in names if name not in controls]
    pairings = _pairings(candidates, controls)
    pairs = tuple(
        pair
        for measure, answers in zip(MEASURES, (zero_shot, trained), strict=True)
        for pair in _pairs(measure, answers, pairings)
    )
    return Comparison(
        selection=selection,
        folds=tuple(int(fold) for fold in np.unique(trained.folds)),
        seeds=tuple(seeds),
        sets=tuple(_figures(name, name in controls, trained, zero_shot) for name in names),
        pairs=pairs,
        verdicts=tuple(
            itertools.chain.from_iterable(_verdicts(name, pairs, controls) for name in candidates)
        ),
        caveats=_caveats(seeds, selection, len(pairings)),
    )


def _pairings(candidates: Sequence[str], controls: Sequence[str]) -> list[tuple[str, str]]:
    against_first = [(name, candidates[0]) for name in candidates[1:]]
    return against_first + list(itertools.product(candidates, controls))


def _pairs(measure: str, answers: Answers, pairings: Sequence[tuple[str, str]]) -> list[Pair]:
    """All pairs of one measure, each p-value corrected for the others; UAR and WAR each by themselves."""

    def differences(weights: NDArray[np.float64]) -> list[Difference]:
        found = [
            paired_difference(
                answers.correct[first], answers.correct[second], weights, answers.labels, answers.folds
            )
            for first, second in pairings
        ]
        corrected = holm([each.p for each in found])
        return [replace(each, p_holm=p) for each, p in zip(found, corrected, strict=True)]

    uar = differences(uar_weights(answers.labels, answers.folds))
    war = differences(war_weights(answers.folds))
    return [
        Pair(
            measure,
            first,
            second,
            by_uar,
            by_war,
            mcnemar(answers.correct[first], answers.correct[second]),
            _verdict(measure, by_uar, len(answers.correct[first])),
        )
        for (first, second), by_uar, by_war in zip(pairings, uar, war, strict=True)
    ]


def _verdict(measure: str, difference: Difference, seeds: int) -> str:
    """The verdict in a word; nothing is shown by a difference that may be one training's luck."""
    told_apart = difference.verdict != "indistinguishable"
    return NOT_SHOWN if told_apart and measure == "trained" and seeds == 1 else difference.verdict


def _figures(name: str, is_control: bool, trained: Answers, zero_shot: Answers) -> SetFigures:
    def both(answers: Answers) -> tuple[Figure, Figure]:
        uar = uar_weights(answers.labels, answers.folds)
        return answers.figure(name, uar), answers.figure(name, war_weights(answers.folds))

    return SetFigures(name, is_control, *both(zero_shot), *both(trained))


def _verdicts(name: str, pairs: Sequence[Pair], controls: Sequence[str]) -> list[str]:
    """One sentence per measure against the controls, one against the first set."""
    sentences = []
    for measure in MEASURES:
        mine = [pair for pair in pairs if pair.measure == measure and pair.first == name]
        against = [pair for pair in mine if pair.second in controls]
        if against:
            sentences.append(f"{name}, {measure}: {_against_controls(against)}")
        sentences += [
            f"{name}, {measure}: {_against_set(pair)}" for pair in mine if pair.second not in controls
        ]
    return sentences


def _caveats(seeds: Sequence[int], selection: str, pairs: int) -> tuple[str, ...]:
    said = []
    if len(seeds) == 1:
        said.append(
            "One seed: the trained intervals hold the luck of the clips, not that of training, so no set is "
            "called better or worse by them; train with --seeds 1-3 or more."
        )
    elif len(seeds) < FEW_SEEDS:
        said.append(
            f"{len(seeds)} seeds: so few tell little of the luck of training, and the trained intervals are "
            "wide for it; more seeds make them narrower."
        )
    if pairs > 1:
        said.append(
            f"Verdicts are for all {pairs} pairs of a measure together, at {100 * LEVEL:.0f}% (Holm); an "
            "interval is for its pair alone, and may leave out zero where the verdict is indistinguishable."
        )
    if selection == "test-best":
        said.append("The epoch was chosen on the fold that judges: trained figures are flattered.")
    return tuple(said)


def _against_controls(pairs: Sequence[Pair]) -> str:
    by_verdict = {
        "indistinguishable": "indistinguishable from {}",
        "worse": "worse than {}",
        NOT_SHOWN: "not shown to differ from {}: one seed",
    }
    parts = []
    for verdict, sentence in by_verdict.items():
        named = [pair.second for pair in pairs if pair.verdict == verdict]
        if named:
            parts.append(sentence.format(", ".join(named)))
    if parts:
        return "; ".join(parts) + "."
    nearest = min(pairs, key=lambda pair: pair.uar.value)
    return f"better than every control; the nearest is {nearest.second} ({_interval(nearest.uar)} UAR)."


def _against_set(pair: Pair) -> str:
    said = {
        "indistinguishable": f"indistinguishable from {pair.second}",
        NOT_SHOWN: f"not shown to differ from {pair.second}: one seed",
    }
    return f"{said.get(pair.verdict, f'{pair.verdict} than {pair.second}')} ({_interval(pair.uar)} UAR)."


def _interval(difference: Difference) -> str:
    return f"{difference.value:+.1f}, 95% interval {difference.low:+.1f} to {difference.high:+.1f}"
