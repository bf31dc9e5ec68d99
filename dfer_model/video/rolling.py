"""Predictions for rolling windows of a live source or file.

A window is processed like a video of these seconds: faces are detected once per frame, and tracked, smoothed
and cropped again in every window. Only the frames of one window are in memory.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dfer_model.data.video import TimedFrame
from dfer_model.errors import InputError, WorkError
from dfer_model.evaluation.classify import Prediction

from .camera import Source
from .detect import Face
from .passes import FaceOptions
from .predict_video import Keep, WindowPredictor, keep_nothing
from .track import is_leap
from .windows import LEAST_REST, ROUNDING, WHOLE

MOST_HELD = 2 << 30  # bytes of frames


@dataclass(frozen=True)
class Rolled:
    """A complete window: its seconds, and a prediction for each face in it."""

    start: float
    end: float
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Glance:
    """One more frame: its seconds, its number of faces, and the windows completed before it.

    `faces` is None without detection.
    """

    seconds: float
    faces: int | None
    windows: tuple[Rolled, ...]


def rolling(
    predictor: WindowPredictor, source: Source, face_options: FaceOptions, *, keep: Keep = keep_nothing
) -> Iterator[Glance]:
    """Predictions for the last `window` seconds, every `stride` seconds (by default 4 and 2).

    The windows of a file are those of a track from its first frame to its last, and all are predicted, the
    last one at the end of the file. For a live source that is faster than the predictions, only the latest
    window is. Raises InputError for a track's number, which a single window does not have, WorkError if the
    frames of a window need more than 2 GiB, and as reading the source does.
    """
    if isinstance(face_options.track, int):
        raise InputError("--track: track numbers need the whole video\nFor a camera give largest or all")
    roll = _Roll(predictor, source, face_options, keep)
    predicted = slice(-1, None) if source.live else slice(None)
    faces: int | None = None
    for timed in source.footage.frames():
        spans = roll.remaining() if roll.leaps(timed.seconds) else roll.over(timed.seconds)
        completed = tuple(roll.predict(*span) for span in spans[predicted])
        faces = roll.take(timed)
        yield Glance(timed.seconds, faces, completed)
    yield Glance(roll.last, faces, tuple(roll.predict(*span) for span in roll.remaining()[predicted]))


class _Roll:
    """The frames of the last window, with their faces."""

    def __init__(
        self, predictor: WindowPredictor, source: Source, face_options: FaceOptions, keep: Keep
    ) -> None:
        self.predictor, self.footage, self.face_options, self.keep = (
            predictor,
            source.footage,
            face_options,
            keep,
        )
        self.window, self.stride = face_options.spacing.lengths(math.inf)
        # A window of a file is predicted when it is known that no short rest belongs to it.
        waits = not source.live and self.stride <= self.window
        self.rest = LEAST_REST * self.window if waits else 0.0
        self._held: deque[TimedFrame] = deque()
        self._known: dict[int, list[Face]] = {}  # of the analysed frames in memory
        self._faces: int | None = None
        self._begin()

    def _begin(self) -> None:
        self.last = 0.0
        self._first: float | None = None
        self._steps = 0  # completed windows
        self._predicted_to = -math.inf  # seconds

    @property
    def _start(self) -> float:
        """The second at which the next window begins."""
        return (self._first or 0.0) + self.stride * self._steps

    def over(self, seconds: float) -> list[tuple[float, float]]:
        """Start and end of the windows complete at this second; a window without frames is skipped."""
        return self._over(seconds - self.rest)

    def _over(self, seconds: float) -> list[tuple[float, float]]:
        found = []
        while self._first is not None and seconds >= self._start + self.window - ROUNDING:
            start, self._steps = self._start, self._steps + 1
            if self._frames(start, start + self.stride):
                found.append((start, start + self.window))
        return found

    def leaps(self, seconds: float) -> bool:
        """Whether the timestamps jump to this second."""
        return self._first is not None and is_leap(seconds - self.last, self._step())

    def _step(self) -> float:
        times = [timed.seconds for timed in self._held]
        return float(np.median(np.diff(times))) if len(times) > 1 else 0.0

    def take(self, timed: TimedFrame) -> int | None:
        """Add one frame and release those that no window needs; returns the number of faces."""
        if self.leaps(timed.seconds):
            self._held.clear()
            self._known.clear()
            self._begin()
        detector = self.face_options.detector
        if detector and self.face_options.looks_at(timed.index):
            self._known[timed.index] = detector(timed.pixels)
            self._faces = len(self._known[timed.index])
        self._first = timed.seconds if self._first is None else self._first
        self._held.append(timed)
        self.last = timed.seconds
        needed = self.last - self.window - self.rest if self.stride <= self.window else self._start
        while self._held and self._held[0].seconds < needed - ROUNDING:
            self._known.pop(self._held.popleft().index, None)
        if len(self._held) * timed.pixels.nbytes > MOST_HELD:
            raise WorkError(
                f"the frames of {self.window:g} seconds of {self.footage.name} need more than "
                f"{MOST_HELD >> 30} GiB\nGive a shorter --window"
            )
        return self._faces

    def remaining(self) -> list[tuple[float, float]]:
        """The windows complete at the end of the source; the last one ends there."""
        if self._first is None:
            return []
        end = self.last + self._step()
        spans = self._over(end)
        predicted_to = max((stop for _, stop in spans), default=self._predicted_to)
        if math.isinf(predicted_to):  # the source is one short window
            return [(max(self._first, end - self.window), end)]
        rest = end - predicted_to
        if self.stride <= self.window and rest > ROUNDING:
            if rest >= LEAST_REST * self.window:
                spans.append((max(self._first, end - self.window), end))
            elif spans:
                spans[-1] = (spans[-1][0], end)
        return spans

    def predict(self, start: float, stop: float) -> Rolled:
        """The predictions for the frames from `start` to `stop` seconds."""
        self._predicted_to = stop
        held = self._frames(start, stop)
        footage = replace(self.footage, frames=lambda: iter(held), expected=len(held), notes=())
        face_options = replace(self.face_options, spacing=WHOLE)
        predictions = self.predictor.predict(
            footage, face_options, keep=self.keep, known=self._known
        ).predictions
        start, stop = round(start, 3), round(stop, 3)
        return Rolled(start, stop, tuple(replace(each, start=start, end=stop) for each in predictions))

    def _frames(self, start: float, stop: float) -> list[TimedFrame]:
        stop = max(stop, start + 2 * ROUNDING)  # a source of one frame has no length
        return [each for each in self._held if start - ROUNDING <= each.seconds < stop - ROUNDING]
