"""The windows of time in which a track is shown to a model, and the frames taken of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dfer_model.data.sampling import sample_test_segments
from dfer_model.errors import InputError

from .detectors import Box
from .tracking import FacePath

WHOLE_SECONDS = 6.0  # a track that is no longer is one window
USUAL_WINDOW = 4.0  # seconds, of a longer one
LEAST_SECONDS = 0.1
_ROUNDING = 1e-6


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
        if self.window is None and self.stride is None and seconds <= WHOLE_SECONDS + _ROUNDING:
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
    ends. A track shorter than a window is one by itself.
    """
    first, end = float(path.seconds[0]), path.end
    for start, stop in _spans(path, first, end, spacing):
        inside = np.flatnonzero((path.seconds >= start - _ROUNDING) & (path.seconds < stop - _ROUNDING))
        rows = inside if len(inside) else np.array([np.searchsorted(path.seconds, start + _ROUNDING) - 1])
        taken = [
            int(rows[index])
            for sample in sample_test_segments(len(rows), frames, segments)
            for index in sample
        ]
        left, top, right, bottom = (float(value) for value in np.median(path.boxes[rows], axis=0))
        yield Window(
            path.number,
            round(start, 3),
            round(stop, 3),
            (left, top, right, bottom),
            tuple(int(path.frames[row]) for row in taken),
            tuple(round(float(path.seconds[row]), 3) for row in taken),
            tuple(taken),
        )


def _spans(path: FacePath, first: float, end: float, spacing: Spacing) -> list[tuple[float, float]]:
    """Start and end of each window; where the video's own clock leaps, none lies in the leap."""
    window, stride = spacing.lengths(end - first)
    if end - first <= window + _ROUNDING:
        return [(first, end)]
    steps = np.unique(np.floor((path.seconds - first + _ROUNDING) / stride))
    starts = first + stride * steps
    spans = [(float(start), float(start + window)) for start in starts if start + window <= end + _ROUNDING]
    if stride <= window and (not spans or spans[-1][1] < end - _ROUNDING):
        spans.append((end - window, end))
    return spans
