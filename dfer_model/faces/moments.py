"""What is said of each moment of a track: the mean of the windows that it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_model.inference.prediction import Prediction

# Of the classes in their order, and again from the first on; told apart by most who see few colours.
COLOURS = (
    "#e69f00",
    "#0072b2",
    "#b0b0b0",
    "#d55e00",
    "#f0e442",
    "#009e73",
    "#56b4e9",
    "#cc79a7",
    "#7f3c8d",
    "#8c6d31",
    "#31a354",
)
MOMENT = 1e-3  # seconds, of a window of a single frame


def class_colours(class_names: Sequence[str]) -> dict[str, str]:
    """Class name -> #rrggbb."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(class_names)}


@dataclass(frozen=True)
class Moments:
    """Spans of time between which the answer changes.

    `edges` are seconds (n + 1,); `probabilities` (n, classes) what is said from one to the next, nan where no
    window lies.
    """

    edges: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]

    def at(self, seconds: float) -> npt.NDArray[np.float64] | None:
        """The probabilities (classes,) of that moment, None where no window lies."""
        place = int(np.searchsorted(self.edges, seconds, side="right")) - 1
        if not 0 <= place < len(self.probabilities) or np.isnan(self.probabilities[place, 0]):
            return None
        found: npt.NDArray[np.float64] = self.probabilities[place]
        return found


def moments(predictions: Sequence[Prediction]) -> Moments:
    """The moments of one track's predictions, of which there is one at least.

    A window without length, of a single frame, is given a moment.
    """
    starts = np.array([each.start or 0.0 for each in predictions])
    ends = np.maximum([each.end or 0.0 for each in predictions], starts + MOMENT)
    values = np.array([list(each.probabilities.values()) for each in predictions])
    edges = np.unique(np.concatenate([starts, ends]))
    inside = (starts[None] <= edges[:-1, None]) & (ends[None] >= edges[1:, None])  # (spans, windows)
    count = inside.sum(axis=1, keepdims=True)
    sums = inside.astype(float) @ values
    return Moments(edges, np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0))


def by_track(predictions: Sequence[Prediction]) -> dict[int | None, list[Prediction]]:
    """The predictions of each track of one video; None are frames taken whole."""
    found: dict[int | None, list[Prediction]] = {}
    for each in predictions:
        found.setdefault(each.track, []).append(each)
    return found
