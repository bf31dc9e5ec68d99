"""The results of a comparison: figures with their spread, paired differences, and verdicts.

Supervised figures never stand alone: with many clips a classifier learns any distinct class weights, right or
swapped. Each set is therefore reported zero-shot as well, and against controls. measure.py makes the
predictions of each protocol.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfer_model.runs import ClassTexts, Predictions, Run

from .multiple_tests import Family, adjusted
from .seed_variance import pair_variance
from .statistics import (
    Difference,
    McNemar,
    mcnemar,
    paired_difference,
    uar_weights,
    war_weights,
)
from .verdict import (
    NOT_SHOWN,
    Against,
    family_caveats,
    interval_caveats,
    more_seeds,
    seeds_caveats,
    sentences,
)


@dataclass(frozen=True)
class Figure:
    """A measure in percent: mean over folds and seeds, standard deviation over seeds (None for one seed).

    `low` and `high` are the ends of its 95% interval, None if it has no interval.
    """

    mean: float
    std: float | None
    low: float | None = None
    high: float | None = None


def figure(by_seed: NDArray[np.float64]) -> Figure:
    """The mean and spread of a measure (seeds,)."""
    return Figure(float(by_seed.mean()), float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None)


@dataclass(frozen=True)
class Answers:
    """The correct predictions of each set: `correct[name]` is (seeds, clips), clips as in `labels`.

    If several trainings of a seed predict a clip, it is the share of correct predictions. `predicted[name]`
    (seeds, clips) are the predicted labels, if each clip has one prediction per seed.
    """

    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    correct: Mapping[str, NDArray[Any]]
    predicted: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def uar(self) -> NDArray[np.float64]:
        """The weights (clips,) that sum correct predictions to the UAR."""
        return uar_weights(self.labels, self.folds)

    @property
    def war(self) -> NDArray[np.float64]:
        """The weights (clips,) that sum correct predictions to the WAR."""
        return war_weights(self.folds)

    def confusion(self, name: str, classes: int, fold: int | None = None) -> NDArray[np.int64]:
        """The confusion counts of the set: (seeds, true classes, predicted classes), of one fold or all."""
        mine = slice(None) if fold is None else self.folds == fold
        cells = self.labels[mine] * classes + self.predicted[name][:, mine]
        counts = [np.bincount(each, minlength=classes * classes) for each in cells]
        return np.stack(counts).reshape(-1, classes, classes)

    def figure(self, name: str, weights: NDArray[np.float64]) -> Figure:
        """The set's figure by the weights `uar` or `war`; its interval has seed and sampling variance."""
        correct = self.correct[name]
        # The figure is its difference from a set without a correct prediction.
        difference = paired_difference(correct, np.zeros_like(correct), weights, self.labels, self.folds)
        return replace(figure(correct @ weights), low=max(0.0, difference.low), high=difference.high)


Figures = Mapping[str, Figure]  # by set, or by what a curve is over


@dataclass(frozen=True)
class Measured:
    """The predictions of every set under one protocol, and further figures of them.

    `parts` may be several, of the same clips in the same order (few-shot: one for each number of shots);
    figures and verdicts are those of their mean. `beside` are further figures by name ("seen_uar"), then by
    set; `curves` likewise, each over an axis ("recalls" over classes).
    """

    name: str
    parts: tuple[Answers, ...]
    trained: bool = True  # whether there is seed variance
    beside: Mapping[str, Figures] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    @property
    def mean(self) -> Answers:
        """The mean of the parts."""
        first = self.parts[0]
        if len(self.parts) == 1:
            return first
        correct = {
            name: np.mean([each.correct[name] for each in self.parts], axis=0) for name in first.correct
        }
        return replace(first, correct=correct, predicted={})

    def votes(self, name: str) -> NDArray[np.bool_]:
        """Every prediction of a set, correct or not: (seeds x parts, clips)."""
        return np.concatenate([each.correct[name] for each in self.parts])


@dataclass(frozen=True)
class Pair:
    """One set against another under one measure."""

    measure: str
    first: str
    second: str
    uar: Difference
    war: Difference
    mcnemar: McNemar  # for WAR, all folds pooled
    # By the UAR, corrected in the family: `better`, `worse`, `indistinguishable`, or `not shown` if there is
    # a difference beyond the sampling variance of the clips but only one seed.
    verdict: str
    family: Family = "all pairs"
    more_seeds: int | None = None  # that would show this difference in UAR; None if it is shown, or never


@dataclass(frozen=True)
class MeasureFigures:
    """The figures of one set under one measure, in percent.

    `beside` holds further figures by name ("seen_uar", "last_uar"), `curves` figures over an axis:
    "curve_uar" over the number of shots, "recalls" over the classes.
    """

    uar: Figure
    war: Figure
    beside: Figures = field(default_factory=dict)
    curves: Mapping[str, Figures] = field(default_factory=dict)

    @property
    def named(self) -> Figures:
        """All single figures by name: "uar", "war", then those of `beside`."""
        return {"uar": self.uar, "war": self.war, **self.beside}


@dataclass(frozen=True)
class SetFigures:
    """The figures of one set, by the name of the measure."""

    name: str
    is_control: bool
    measures: Mapping[str, MeasureFigures]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison; `selection` is the rule that selected the epoch of trained figures."""

    selection: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    measures: tuple[str, ...]
    sets: tuple[SetFigures, ...]
    pairs: tuple[Pair, ...]
    verdicts: tuple[str, ...]
    caveats: tuple[str, ...]  # limits of the intervals and of the measures

    @property
    def rows(self) -> tuple[SetFigures, ...]:
        """The sets in the order of the tables: controls last."""
        return tuple(sorted(self.sets, key=lambda each: each.is_control))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of the sets that are not controls."""
        return tuple(each.name for each in self.sets if not each.is_control)

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the controls."""
        return tuple(each.name for each in self.sets if each.is_control)

    def pairs_of(self, measure: str) -> tuple[Pair, ...]:
        """The pairs of one measure."""
        return tuple(pair for pair in self.pairs if pair.measure == measure)

    def verdicts_of(self, measure: str) -> dict[tuple[str, str], str]:
        """The verdict word of each pair of a measure, by (first, second)."""
        return {(pair.first, pair.second): pair.verdict for pair in self.pairs_of(measure)}


def trained_answers(runs: Sequence[Run], texts: Sequence[ClassTexts], selection: str) -> Answers:
    """The test predictions of a grid's runs, in the order of `Grid.specs` (fold, seed, set).

    Each clip has one prediction per seed: by the run whose test fold it is in.
    """
    return gathered_answers(
        {(run.texts.name, run.fold, run.seed): run.predictions(selection) for run in runs}, texts
    )


def gathered_answers(
    by_key: Mapping[tuple[str, int, int], Predictions], texts: Sequence[ClassTexts]
) -> Answers:
    """Join predictions given by (set name, fold, seed); those of a fold are of the same clips."""
    folds = sorted({fold for _, fold, _ in by_key})
    seeds = sorted({seed for _, _, seed in by_key})
    labels = {fold: by_key[texts[0].name, fold, seeds[0]].labels for fold in folds}
    predicted = {
        text.name: np.stack(
            [
                np.concatenate([by_key[text.name, fold, seed].logits.argmax(axis=1) for fold in folds])
                for seed in seeds
            ]
        )
        for text in texts
    }
    every = np.concatenate([labels[fold] for fold in folds])
    return Answers(
        every,
        np.concatenate([np.full(len(labels[fold]), fold) for fold in folds]),
        {name: each == every for name, each in predicted.items()},
        predicted,
    )


def compare(
    measured: Sequence[Measured],
    controls: Sequence[str],
    folds: Sequence[int],
    seeds: Sequence[int],
    selection: str,
) -> Comparison:
    """The comparison of measured sets: figures, paired differences and verdicts.

    Each set is paired with every control and with the first set; controls are not paired with each other.
    """
    names = list(measured[0].parts[0].correct)
    candidates = [name for name in names if name not in controls]
    pairings = _pairings(candidates, controls)
    pairs = tuple(pair for each in measured for pair in _pairs(each, pairings, controls))
    trainings = {each.name: len(each.parts[0].correct[names[0]]) for each in measured if each.trained}
    return Comparison(
        selection=selection,
        folds=tuple(folds),
        seeds=tuple(seeds) if trainings else (),
        measures=tuple(each.name for each in measured),
        sets=tuple(_figures(name, name in controls, measured) for name in names),
        pairs=pairs,
        verdicts=tuple(
            itertools.chain.from_iterable(
                sentences(
                    name, each.name, [_against(pair) for pair in pairs if _is_of(pair, name, each)], controls
                )
                for name in candidates
                for each in measured
            )
        ),
        caveats=(
            *interval_caveats(trainings, selection),
            *family_caveats(len(candidates) if controls else 0, len(candidates) - 1),
            *seeds_caveats(
                (each.measure, f"{each.first} - {each.second}", each.more_seeds)
                for each in pairs
                if each.verdict == "indistinguishable"
                and each.uar.value
                and trainings.get(each.measure, 1) > 1
            ),
            *itertools.chain.from_iterable(each.caveats for each in measured),
        ),
    )


def _pairings(candidates: Sequence[str], controls: Sequence[str]) -> list[tuple[str, str]]:
    against_first = [(name, candidates[0]) for name in candidates[1:]]
    return against_first + list(itertools.product(candidates, controls))


def _is_of(pair: Pair, name: str, measured: Measured) -> bool:
    return (pair.first, pair.measure) == (name, measured.name)


def _against(pair: Pair) -> Against:
    return Against(pair.second, pair.verdict, pair.uar)


def _pairs(measured: Measured, pairings: Sequence[tuple[str, str]], controls: Sequence[str]) -> list[Pair]:
    """All pairs of one measure; p-values are corrected by family, for UAR and WAR separately."""
    answers = measured.mean
    by_uar = _differences(answers, answers.uar, pairings, controls)
    by_war = _differences(answers, answers.war, pairings, controls)
    found = []
    for (first, second), (family, uar), (_, war) in zip(pairings, by_uar, by_war, strict=True):
        seeds = len(answers.correct[first])
        verdict = _verdict(measured, uar, seeds)
        found.append(
            Pair(
                measured.name,
                first,
                second,
                uar,
                war,
                mcnemar(measured.votes(first), measured.votes(second)),
                verdict,
                family,
                more_seeds(uar, seeds) if verdict == "indistinguishable" else None,
            )
        )
    return found


def _differences(
    answers: Answers,
    weights: NDArray[np.float64],
    pairings: Sequence[tuple[str, str]],
    controls: Sequence[str],
) -> list[tuple[Family, Difference]]:
    """The family and the difference of each pair; the seed variance is estimated from all sets."""
    names = list(answers.correct)
    figures = np.stack([answers.correct[name] @ weights for name in names])  # (sets, seeds)
    found = [
        paired_difference(
            answers.correct[first],
            answers.correct[second],
            weights,
            answers.labels,
            answers.folds,
            seed_variance=(
                pair_variance(figures, names.index(first), names.index(second))
                if figures.shape[1] > 1
                else None
            ),
        )
        for first, second in pairings
    ]
    corrected = adjusted(pairings, controls, [each.p for each in found])
    return [(family, replace(each, p_holm=p)) for each, (family, p) in zip(found, corrected, strict=True)]


def _verdict(measured: Measured, difference: Difference, seeds: int) -> str:
    """The verdict word. With one seed a difference is not shown: the seed variance is unknown."""
    distinguished = difference.verdict != "indistinguishable"
    return NOT_SHOWN if distinguished and measured.trained and seeds == 1 else difference.verdict


def _figures(name: str, is_control: bool, measured: Sequence[Measured]) -> SetFigures:
    return SetFigures(name, is_control, {each.name: _measure_figures(name, each) for each in measured})


def _measure_figures(name: str, measured: Measured) -> MeasureFigures:
    answers = measured.mean
    return MeasureFigures(
        uar=answers.figure(name, answers.uar),
        war=answers.figure(name, answers.war),
        beside={what: by_set[name] for what, by_set in measured.beside.items()},
        curves={what: by_set[name] for what, by_set in measured.curves.items()},
    )
