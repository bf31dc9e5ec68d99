"""Average the predictions of several finished runs for the same clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

from dfer_model.data.class_names import composed
from dfer_model.errors import InputError, unknown
from dfer_model.registry import EnsembleRule
from dfer_model.runs import Predictions, Run

Logits = npt.NDArray[np.float32]


def mean_probability(logits: Logits) -> Logits:
    """The log of the mean softmax of (runs, clips, classes) logits: (clips, classes)."""
    logs = log_softmax(logits.astype(np.float64), axis=-1)
    mean: Logits = (logsumexp(logs, axis=0) - np.log(len(logits))).astype(np.float32)
    return mean


def mean_logit(logits: Logits) -> Logits:
    """The mean of (runs, clips, classes) logits: (clips, classes)."""
    mean: Logits = logits.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


RULES: Mapping[str, Callable[[Logits], Logits]] = {
    "mean-probability": mean_probability,
    "mean-logit": mean_logit,
}


@dataclass(frozen=True)
class RunEnsemble:
    """Finished runs of one test fold and the same classes, whose predictions are averaged by `rule`.

    Raises InputError for fewer than two runs, a repeated run, another rule, and runs of different folds or
    classes.
    """

    runs: tuple[Run, ...]
    rule: EnsembleRule = "mean-probability"

    def __post_init__(self) -> None:
        """Check that the runs fit together."""
        if self.rule not in RULES:
            raise unknown("ensemble rule", self.rule, get_args(EnsembleRule))
        if len({run.id for run in self.runs}) != len(self.runs):
            raise InputError("a run is given twice in an ensemble")
        if len(self.runs) < 2:
            raise InputError("an ensemble requires at least two runs")
        first = self.runs[0]
        for run in self.runs[1:]:
            if run.fold != first.fold:
                raise InputError(
                    f"{first.id} is tested on fold {first.fold} and {run.id} on fold {run.fold}\n"
                    "An ensemble averages runs with the same test clips"
                )
            if sorted(map(composed, run.class_names)) != sorted(map(composed, first.class_names)):
                raise InputError(
                    f"{first.id} and {run.id} have different classes: {', '.join(first.class_names)}; "
                    f"{', '.join(run.class_names)}"
                )

    @property
    def id(self) -> str:
        """The runs' ids, joined by +."""
        return "+".join(run.id for run in self.runs)

    @property
    def fold(self) -> int:
        """The test fold."""
        return self.runs[0].fold

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names in the order of the averaged logits: that of the first run."""
        return self.runs[0].class_names

    def averaged(self, parts: Sequence[Predictions]) -> Predictions:
        """The averaged predictions; `parts` are those of the runs, each in its run's class order.

        Raises InputError if the runs' clips differ.
        """
        first = parts[0]
        stacked = []
        for run, part in zip(self.runs, parts, strict=True):
            if sorted(part.clip_ids) != sorted(first.clip_ids):
                own, others = {*part.clip_ids}, {*first.clip_ids}
                raise InputError(
                    f"{run.id} and {self.runs[0].id} have different test clips: {len(own - others)} and "
                    f"{len(others - own)} clips have no counterpart, such as {min(own ^ others)}"
                )
            places = {clip: place for place, clip in enumerate(part.clip_ids)}
            names = [composed(name) for name in run.class_names]
            columns = [names.index(composed(name)) for name in self.class_names]
            stacked.append(part.logits[[places[clip] for clip in first.clip_ids]][:, columns])
        return Predictions(first.clip_ids, first.labels, RULES[self.rule](np.stack(stacked)))


def members_of(model: Run | RunEnsemble) -> tuple[Run, ...]:
    """The runs of an ensemble; a run is its own only member."""
    return model.runs if isinstance(model, RunEnsemble) else (model,)


def combined(model: Run | RunEnsemble, parts: Sequence[Predictions]) -> Predictions:
    """The predictions of a model from those of its members."""
    return model.averaged(parts) if isinstance(model, RunEnsemble) else parts[0]
