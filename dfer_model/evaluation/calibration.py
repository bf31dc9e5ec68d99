"""Temperature scaling: one temperature, fitted on clips that the run was not trained on.

Trained classifiers are usually overconfident. Dividing the logits by T > 0, the same for all clips and
classes, changes the probabilities but not the predicted class:

    T = argmin - sum_i log softmax(z_i / T)_(y_i)

(C. Guo, G. Pleiss, Y. Sun and K. Weinberger, ICML 2017, arXiv 1706.04599, section 4.2).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_model.data.packed import PackedClips
from dfer_model.data.splits import training_clips
from dfer_model.errors import InputError
from dfer_model.io import write_atomically
from dfer_model.metrics import calibration_error
from dfer_model.runs import Predictions, Run

FILE = "calibration.json"
Floats = npt.NDArray[np.float64]


def fit_temperature(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The temperature T > 0 of maximum likelihood for labels (clips,) and logits (clips, classes).

    The log-likelihood is concave in 1/T, so its maximum is where its slope is 0. Raises InputError if there
    is no such T: all predictions are correct (T -> 0), or not better than chance (T -> infinity); and for
    logits that are not finite.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    true, scores = np.asarray(labels, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise InputError("the logits are not finite and cannot be calibrated")
    own = scores[np.arange(len(true)), true]

    def slope(inverse: float) -> float:
        """The derivative of the negative log-likelihood by 1/T; it increases."""
        return float((softmax(inverse * scores, axis=1) * scores).sum(axis=1).mean() - own.mean())

    if (own == scores.max(axis=1)).all():
        raise InputError(
            f"all {len(true)} clips are predicted correctly, so no temperature is optimal\n"
            "Fit it on more clips: train with a larger --set val_share, or give --dataset DIR"
        )
    if slope(0.0) >= 0:
        raise InputError(
            f"on these {len(true)} clips the predictions are no better than chance, so no temperature is "
            "optimal\nTrain the run for longer, or fit on clips similar to its training clips"
        )
    upper = 1.0
    while slope(upper) < 0:
        upper *= 2
    return 1 / float(brentq(slope, 0.0, upper, xtol=1e-12))


def likelihood_loss(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The mean negative log-likelihood of the labels (clips,) under logits (clips, classes), in nats."""
    from scipy.special import log_softmax

    true = np.asarray(labels, dtype=np.int64)
    logs: Floats = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return -float(logs[np.arange(len(true)), true].mean())


@dataclass(frozen=True)
class CalibrationFigures:
    """How well the probabilities are calibrated on some clips."""

    clips: int
    calibration_error: float  # percent
    likelihood_loss: float  # nats


def calibration_figures(predictions: Predictions, temperature: float = 1.0) -> CalibrationFigures:
    """The calibration of the predictions with the logits divided by `temperature`."""
    logits = np.asarray(predictions.logits, dtype=np.float64) / temperature
    return CalibrationFigures(
        len(predictions.labels),
        calibration_error(predictions.labels, logits),
        likelihood_loss(predictions.labels, logits),
    )


@dataclass(frozen=True)
class Calibration:
    """The content of `calibration.json` in a run's folder."""

    temperature: float
    fitted_on: str  # in words: "44 clips of the training folds of drawn that did not train the run"
    clips: int
    dataset: str  # fingerprint of the packed clips
    clip_ids: tuple[str, ...]

    def in_words(self) -> str:
        """The sentence of a model card."""
        return (
            f"probabilities are those of the logits divided by {self.temperature:.3g}, "
            f"fitted on {self.clips} {self.fitted_on}"
        )

    def as_json(self) -> str:
        """The text of `calibration.json`."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


def write_calibration(run: Run, calibration: Calibration) -> Path:
    """Write it to the run's folder, replacing an earlier one, and return its path."""
    path = run.folder / FILE
    write_atomically(path, calibration.as_json())
    return path


def read_calibration(run: Run) -> Calibration | None:
    """The run's calibration, None if it has none. Raises InputError for a damaged file."""
    path = run.folder / FILE
    if not path.is_file():
        return None
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        temperature = checked_temperature(known["temperature"])
        return Calibration(**known | {"temperature": temperature, "clip_ids": tuple(known["clip_ids"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged: it has no valid temperature ({error})\n"
            f"Remove it, or fit it again: dfer-prompts calibrate {run.id}"
        ) from error


def checked_temperature(given: Any) -> float:
    """A temperature given as a number or text. Raises ValueError unless it is finite and above 0."""
    temperature = float(given)
    if not 0 < temperature < float("inf"):
        raise ValueError("temperature")
    return temperature


def untrained_clips(run: Run, clips: PackedClips) -> npt.NDArray[np.int64]:
    """The clips of the run's training folds that it was not trained on, ascending; none of the test fold.

    These are the validation clips and those that `shots` left out; all clips if nothing was trained. A class
    held out from training is left out. Raises InputError if there are none, and for other clips than the
    run's.
    """
    if clips.fingerprint != run.config["dataset"]["fingerprint"]:
        raise InputError(
            f"{clips.path} no longer has the clips that {run.id} was trained on\nGive others: --dataset DIR"
        )
    training = np.union1d(clips.train_indices(run.fold), clips.val_indices(run.fold))
    settings = run.settings
    if not settings.epochs:
        return training
    trained = training_clips(clips, settings, run.fold, run.seed)
    left = np.setdiff1d(training, trained.train)
    left = left[np.isin(clips.labels[left], trained.learned)]
    if not len(left):
        raise InputError(
            f"{run.id} has no clips to fit a temperature on: it was trained on all clips of its training "
            f"folds, and fold {run.fold} is its test fold\n"
            "Train with --select val, or give clips of another dataset: --dataset DIR"
        )
    return left
