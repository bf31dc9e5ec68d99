"""Measures of predictions in percent: UAR, WAR, macro-F1, top-2 accuracy, recalls, confusion, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Measures:
    """Measures of predictions. UAR is the mean of the per-class recalls, WAR is accuracy.

    UAR and macro-F1 are over the classes that occur, those with at least one clip.
    """

    uar: float  # percent
    war: float  # percent
    macro_f1: float  # percent
    recalls: dict[str, float | None]  # percent; None for a class without clips, which has no recall
    confusion: npt.NDArray[np.int64]  # (classes, classes): row the true class, column the predicted one
    clips: int
    calibration_error: float | None = None  # percent; None without logits
    top2_accuracy: float | None = None  # percent; None without logits, and with fewer than three classes

    def as_dict(self) -> dict[str, Any]:
        """The measures as plain numbers and lists, for JSON."""
        return {
            "uar": self.uar,
            "war": self.war,
            "macro_f1": self.macro_f1,
            "calibration_error": self.calibration_error,
            "top2_accuracy": self.top2_accuracy,
            "clips": self.clips,
            "recalls": self.recalls,
            "confusion": self.confusion.tolist(),
        }


def measures_of(stored: Mapping[str, Any]) -> Measures:
    """The measures that `Measures.as_dict` returned."""
    return Measures(**{**stored, "confusion": np.asarray(stored["confusion"], dtype=np.int64)})


def measures(labels: npt.ArrayLike, predictions: npt.ArrayLike, class_names: Sequence[str]) -> Measures:
    """Measure predicted labels against true ones; both are positions in `class_names`.

    A class without clips has no recall and is left out of the UAR, since a recall of 0 would penalise the
    fold. It is also left out of the macro-F1, even if it was predicted; this lowers the recall of the true
    class. Raises InputError if there are no clips, or if a label is not a position.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

    true, predicted = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    if true.ndim != 1 or true.shape != predicted.shape:
        raise InputError(f"{true.shape} labels and {predicted.shape} predictions do not pair up")
    if not len(true):
        raise InputError("there are no predictions to measure")
    if min(true.min(), predicted.min()) < 0 or max(true.max(), predicted.max()) >= len(class_names):
        raise InputError(f"a label lies outside the {len(class_names)} classes")
    occurring = np.unique(true)
    recalls = 100 * recall_score(true, predicted, labels=occurring, average=None)
    by_class = dict(zip(occurring.tolist(), recalls.tolist(), strict=True))
    return Measures(
        uar=float(recalls.mean()),
        war=100 * float(accuracy_score(true, predicted)),
        macro_f1=100 * float(f1_score(true, predicted, labels=occurring, average="macro", zero_division=0)),
        recalls={name: by_class.get(position) for position, name in enumerate(class_names)},
        confusion=confusion_matrix(true, predicted, labels=range(len(class_names))).astype(np.int64),
        clips=len(true),
    )


def logit_measures(labels: npt.ArrayLike, logits: npt.ArrayLike, class_names: Sequence[str]) -> Measures:
    """Measure logits (clips, classes) against true labels: the class with the largest is the prediction.

    Raises InputError as `measures` does, and for logits of other classes or that are not finite.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(class_names):
        raise InputError(f"logits of shape {scores.shape} are not those of {len(class_names)} classes")
    measured = measures(labels, scores.argmax(axis=1), class_names)
    return replace(
        measured,
        calibration_error=calibration_error(labels, scores),
        top2_accuracy=top2_accuracy(labels, scores),
    )


def top2_accuracy(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float | None:
    """The percentage of clips whose true class has one of the two largest logits.

    None with fewer than three classes, where it is always 100. Of equal logits the first counts as larger, as
    for the predicted class; scikit-learn's `top_k_accuracy_score` counts the last.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.shape[1] < 3:
        return None
    best = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    return 100 * float((best == np.asarray(labels)[:, None]).any(axis=1).mean())


def calibration_error(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The expected calibration error in percent: the mean difference between accuracy and confidence.

    Confidence is the softmax of the predicted class. Both are averaged in 15 bins of equal width, closed
    above, and the absolute differences of the bins are weighted by their clips (C. Guo, G. Pleiss, Y. Sun and
    K. Weinberger, ICML 2017, arXiv 1706.04599, equations 2, 3 and 5). `labels` (clips,), `logits` (clips,
    classes). Raises InputError for logits that are not finite.
    """
    confidence, right, bins = _confidences(labels, logits)
    return 100 * float(np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(confidence))


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in the bins of `calibration_error`; each array is (15,)."""

    clips: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]  # mean softmax of the predicted class, 0..1; NaN in an empty bin
    right: npt.NDArray[np.float64]  # share of correct predictions, 0..1; NaN in an empty bin


def reliability(labels: npt.ArrayLike, logits: npt.ArrayLike) -> Reliability:
    """The bins of `calibration_error`. Raises InputError as it does."""
    confidence, right, bins = _confidences(labels, logits)
    clips = np.bincount(bins, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        means = [
            np.bincount(bins, weights=each, minlength=CALIBRATION_BINS) / clips
            for each in (confidence, right)
        ]
    return Reliability(clips, *means)


def _confidences(
    labels: npt.ArrayLike, logits: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """For each clip the softmax of the predicted class, whether it is correct, and its bin."""
    from scipy.special import softmax

    scores = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise InputError("logits that are not finite cannot be measured")
    confidence = softmax(scores, axis=1).max(axis=1)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    return (
        confidence,
        scores.argmax(axis=1) == np.asarray(labels),
        np.searchsorted(edges, confidence, side="left"),
    )
