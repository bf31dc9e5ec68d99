"""UAR, WAR, per-class recall and the confusion matrix of one set of predictions, in percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError


@dataclass(frozen=True)
class Measures:
    """What a set of predictions is worth. UAR is the mean of the per-class recalls, WAR is accuracy."""

    uar: float  # percent, over the classes that have at least one clip
    war: float  # percent
    recalls: dict[str, float | None]  # percent; None for a class without clips, which has no recall
    confusion: npt.NDArray[np.int64]  # (classes, classes): row the true class, column the predicted one
    clips: int

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers and lists, for JSON."""
        return {
            "uar": self.uar,
            "war": self.war,
            "clips": self.clips,
            "recalls": self.recalls,
            "confusion": self.confusion.tolist(),
        }


def measures(labels: npt.ArrayLike, predictions: npt.ArrayLike, class_names: Sequence[str]) -> Measures:
    """Measure predicted labels against true ones; both are positions in `class_names`.

    A class without clips is left out of the UAR: its recall is 0/0, and counting it as 0 would punish a fold
    for what it does not hold. Raises InputError when there are no clips, or a label is not a position.
    """
    from sklearn.metrics import confusion_matrix

    true, predicted = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    if true.ndim != 1 or true.shape != predicted.shape:
        raise InputError(f"{true.shape} labels and {predicted.shape} predictions do not pair up")
    if not len(true):
        raise InputError("there are no predictions to measure")
    if min(true.min(), predicted.min()) < 0 or max(true.max(), predicted.max()) >= len(class_names):
        raise InputError(f"a label lies outside the {len(class_names)} classes")
    confusion = confusion_matrix(true, predicted, labels=range(len(class_names))).astype(np.int64)
    totals, hits = confusion.sum(axis=1), confusion.diagonal()
    recalls = [100.0 * hit / total if total else None for hit, total in zip(hits, totals, strict=True)]
    return Measures(
        uar=float(np.mean([recall for recall in recalls if recall is not None])),
        war=float(100.0 * hits.sum() / totals.sum()),
        recalls={name: None if r is None else float(r) for name, r in zip(class_names, recalls, strict=True)},
        confusion=confusion,
        clips=len(true),
    )
