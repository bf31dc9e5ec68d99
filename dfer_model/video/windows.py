"""The windows of time in which a track is shown to a model, and the frames taken of each.

What is said of each moment of a track: the mean of the windows that it lies in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_model.data.sampling import sample_test_segments
from dfer_model.errors import InputError
from dfer_model.evaluation.classify import Prediction

from .detect import Box
from .track import FacePath, Values, is_leap

Rows = npt.NDArray[np.int64]

WHOLE_SECONDS = 6.0  # a track that is no longer is one window
USUAL_WINDOW = 4.0  # seconds, of a longer one
LEAST_SECONDS = 0.1
LEAST_REST = 0.1  # of a window; a shorter rest at the end of a track is no window of its own
ROUNDING = 1e-6


@dataclass(frozen=True)
class Spacing:
    """How long windows are and how far apart they begin, in seconds.

    `window` None: a track up to 6 seconds as a whole, a longer one in windows of 4. `stride` None: half of a
    window. Raises InputError below 0.1 seconds.
    """

    window: float | None = None
    stride: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            if value is not None and not (math.isfinite(value) and value >= LEAST_SECONDS):
                raise InputError(f"--{name} is {value:g} seconds\nGive {LEAST_SECONDS} seconds or more")

    def lengths(self, seconds: float) -> tuple[float, float]:
        """Window and stride for a track that is `seconds` long."""
        if self.window is None and self.stride is None and seconds <= WHOLE_SECONDS + ROUNDING:
            return seconds, seconds
        window = USUAL_WINDOW if self.window is None else self.window
        return window, window / 2 if self.stride is None else self.stride


WHOLE = Spacing(window=1e9)


@dataclass(frozen=True)
class Window:
    """Some seconds of one track.

    `frames` are the places in the video of the frames taken, segment after segment, `seconds` theirs, `rows`
    their places in the track; `box` is the median of the face's box over the window.
    """

    track: int
    start: float
    end: float
    box: Box
    frames: tuple[int, ...]
    seconds: tuple[float, ...]
    rows: tuple[int, ...]


def windows(path: FacePath, spacing: Spacing, frames: int = 16, segments: int = 1) -> Iterator[Window]:
    """The windows of a track in order, each with the frames that a test takes of it.

    They begin a stride after each other as long as the track fills them; the last one ends where the track
    ends, and a rest of less than a tenth of a window belongs to the window before. A track shorter than a
    window is one by itself. Where the video's clock leaps, a window ends and the next one begins.
    """
    for first, last in _pieces(path, spacing):
        times = path.seconds[first:last]
        for start, stop in _spans(times, float(times[-1]) + path.step, spacing):
            inside = np.flatnonzero((times >= start - ROUNDING) & (times < stop - ROUNDING))
            rows = first + (inside if len(inside) else np.searchsorted(times, [start + ROUNDING]) - 1)
            yield _window(path, start, stop, rows, frames, segments)


def _window(path: FacePath, start: float, stop: float, rows: Rows, frames: int, segments: int) -> Window:
    taken = [
        int(rows[index]) for sample in sample_test_segments(len(rows), frames, segments) for index in sample
    ]
    left, top, right, bottom = (float(value) for value in np.median(path.boxes[rows], axis=0))
    return Window(
        path.number,
        round(start, 3),
        round(stop, 3),
        (left, top, right, bottom),
        tuple(int(path.frames[row]) for row in taken),
        tuple(round(float(path.seconds[row]), 3) for row in taken),
        tuple(taken),
    )


def _pieces(path: FacePath, spacing: Spacing) -> list[tuple[int, int]]:
    """First row and the row after the last of each piece of a track between leaps; of the whole, one."""
    steps = np.diff(path.seconds)
    leaps = (
        [] if spacing == WHOLE else [row + 1 for row, step in enumerate(steps) if is_leap(step, path.step)]
    )
    return list(zip([0, *leaps], [*leaps, len(path.seconds)], strict=True))


def _spans(times: Values, end: float, spacing: Spacing) -> list[tuple[float, float]]:
    """Start and end of each window of the frames at these times, the last of which lasts to `end`."""
    first = float(times[0])
    window, stride = spacing.lengths(end - first)
    if end - first <= window + ROUNDING:
        return [(first, end)]
    steps = np.unique(np.floor((times - first + ROUNDING) / stride))
    starts = first + stride * steps
    spans = [(float(start), float(start + window)) for start in starts if start + window <= end + ROUNDING]
    rest = end - spans[-1][1]
    if stride <= window and rest > ROUNDING:
        if rest < LEAST_REST * window:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((end - window, end))
    return spans


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
