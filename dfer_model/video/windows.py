"""Windows of a track and the frames sampled from each, and the mean prediction over overlapping windows."""

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

WHOLE_SECONDS = 6.0  # a track up to this length is one window
USUAL_WINDOW = 4.0  # seconds, for longer tracks
LEAST_SECONDS = 0.1
LEAST_REST = 0.1  # of a window; a shorter rest at the end of a track is joined to the last window
ROUNDING = 1e-6


@dataclass(frozen=True)
class Spacing:
    """Length and stride of windows, in seconds.

    `window` None: a track up to 6 seconds is one window, a longer one has windows of 4. `stride` None: half a
    window. Raises InputError below 0.1 seconds.
    """

    window: float | None = None
    stride: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            if value is not None and not (math.isfinite(value) and value >= LEAST_SECONDS):
                raise InputError(f"--{name} is {value:g} seconds\nGive {LEAST_SECONDS} seconds or more")

    def lengths(self, seconds: float) -> tuple[float, float]:
        """Window and stride for a track of `seconds`."""
        if self.window is None and self.stride is None and seconds <= WHOLE_SECONDS + ROUNDING:
            return seconds, seconds
        window = USUAL_WINDOW if self.window is None else self.window
        return window, window / 2 if self.stride is None else self.stride


WHOLE = Spacing(window=1e9)


@dataclass(frozen=True)
class Window:
    """A window of one track.

    `frames` are the indices in the video of the sampled frames, segment after segment, `seconds` their times,
    `rows` their indices in the track; `box` is the median box of the face in the window.
    """

    track: int
    start: float
    end: float
    box: Box
    frames: tuple[int, ...]
    seconds: tuple[float, ...]
    rows: tuple[int, ...]


def windows(path: FacePath, spacing: Spacing, frames: int = 16, segments: int = 1) -> Iterator[Window]:
    """The windows of a track in order, each with frames sampled as in a test.

    They start a stride apart; the last one ends at the end of the track, and a rest of less than a tenth of a
    window is joined to the window before. A track shorter than a window is one window. At a jump of the
    timestamps a window ends and the next one begins.
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
    """First row and the row after the last of each part of a track between jumps; one part for WHOLE."""
    steps = np.diff(path.seconds)
    leaps = (
        [] if spacing == WHOLE else [row + 1 for row, step in enumerate(steps) if is_leap(step, path.step)]
    )
    return list(zip([0, *leaps], [*leaps, len(path.seconds)], strict=True))


def _spans(times: Values, end: float, spacing: Spacing) -> list[tuple[float, float]]:
    """Start and end of each window of the frames at these times; the last frame ends at `end`."""
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


# Of the classes in order, repeated if there are more; chosen for colour-blind readers.
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
MOMENT = 1e-3  # seconds; the duration of a single frame


def class_colours(class_names: Sequence[str]) -> dict[str, str]:
    """Class name -> #rrggbb."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(class_names)}


@dataclass(frozen=True)
class Moments:
    """Spans of constant prediction.

    `edges` are seconds (n + 1,); `probabilities` (n, classes) those between two edges, nan without a window.
    """

    edges: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]

    def at(self, seconds: float) -> npt.NDArray[np.float64] | None:
        """The probabilities (classes,) at that time, None without a window."""
        place = int(np.searchsorted(self.edges, seconds, side="right")) - 1
        if not 0 <= place < len(self.probabilities) or np.isnan(self.probabilities[place, 0]):
            return None
        found: npt.NDArray[np.float64] = self.probabilities[place]
        return found


def moments(predictions: Sequence[Prediction]) -> Moments:
    """The spans of the predictions (one or more) of one track, overlapping windows averaged.

    A window of a single frame lasts MOMENT.
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
    """The predictions of each track of one video; None is for whole frames."""
    found: dict[int | None, list[Prediction]] = {}
    for each in predictions:
        found.setdefault(each.track, []).append(each)
    return found
