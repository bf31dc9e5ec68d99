"""What a model says of the last seconds, while they go by.

A window is answered as a video of just these seconds would be: faces are looked for in each frame once, as it
comes, and followed, smoothed and cut anew in every window. Nothing is kept but the frames of one window.
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
from .passes import Watching
from .predict_video import Judge, Keep, keep_nothing
from .track import is_leap
from .windows import LEAST_REST, ROUNDING, WHOLE

MOST_HELD = 2 << 30  # bytes of frames


@dataclass(frozen=True)
class Rolled:
    """A window that is over: its seconds, and what is said of each face in it, if there was one."""

    start: float
    end: float
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Glance:
    """One more frame: its seconds, how many faces are in it, and the windows that were over before it.

    `faces` is None where none are looked for.
    """

    seconds: float
    faces: int | None
    windows: tuple[Rolled, ...]


def rolling(
    judge: Judge, source: Source, watching: Watching, *, keep: Keep = keep_nothing
) -> Iterator[Glance]:
    """What is said of the last `window` seconds, every `stride` seconds (4 and 2 where they are not given).

    The windows of a file are those of a track that lasts from its first frame to its last, and all are
    answered, the last one where the file ends. Of a live source that goes on faster than it is answered, the
    latest window alone is. Raises InputError for a track's number, which no single window knows, WorkError
    where the frames of a window would take more than 2 GiB, and as reading the source does.
    """
    if isinstance(watching.track, int):
        raise InputError("--track: a number needs the whole video\nFor a camera give largest or all")
    roll = _Roll(judge, source, watching, keep)
    answered = slice(-1, None) if source.live else slice(None)
    faces: int | None = None
    for timed in source.footage.frames():
        spans = roll.remaining() if roll.leaps(timed.seconds) else roll.over(timed.seconds)
        said = tuple(roll.answer(*span) for span in spans[answered])
        faces = roll.take(timed)
        yield Glance(timed.seconds, faces, said)
    yield Glance(roll.last, faces, tuple(roll.answer(*span) for span in roll.remaining()[answered]))


class _Roll:
    """The frames of the last window, with their faces."""

    def __init__(self, judge: Judge, source: Source, watching: Watching, keep: Keep) -> None:
        self.judge, self.footage, self.watching, self.keep = judge, source.footage, watching, keep
        self.window, self.stride = watching.spacing.lengths(math.inf)
        # Of a file, a window is answered when it is known that no short rest belongs to it.
        waits = not source.live and self.stride <= self.window
        self.rest = LEAST_REST * self.window if waits else 0.0
        self._held: deque[TimedFrame] = deque()
        self._known: dict[int, list[Face]] = {}  # of the frames held, those that were looked at
        self._faces: int | None = None
        self._begin()

    def _begin(self) -> None:
        self.last = 0.0
        self._first: float | None = None
        self._steps = 0  # windows that are over
        self._answered = -math.inf  # to which second

    @property
    def _start(self) -> float:
        """Where the next window begins."""
        return (self._first or 0.0) + self.stride * self._steps

    def over(self, seconds: float) -> list[tuple[float, float]]:
        """Start and end of the windows that are over at this second; none begins without a frame."""
        return self._over(seconds - self.rest)

    def _over(self, seconds: float) -> list[tuple[float, float]]:
        found = []
        while self._first is not None and seconds >= self._start + self.window - ROUNDING:
            start, self._steps = self._start, self._steps + 1
            if self._frames(start, start + self.stride):
                found.append((start, start + self.window))
        return found

    def leaps(self, seconds: float) -> bool:
        """Whether the clock leaps to this second."""
        return self._first is not None and is_leap(seconds - self.last, self._step())

    def _step(self) -> float:
        times = [timed.seconds for timed in self._held]
        return float(np.median(np.diff(times))) if len(times) > 1 else 0.0

    def take(self, timed: TimedFrame) -> int | None:
        """Hold one more frame, let go of those that no window needs; returns how many faces were seen."""
        if self.leaps(timed.seconds):
            self._held.clear()
            self._known.clear()
            self._begin()
        detector = self.watching.detector
        if detector and self.watching.looks_at(timed.index):
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
                f"the frames of {self.window:g} seconds of {self.footage.name} take more than "
                f"{MOST_HELD >> 30} GiB\nGive a shorter --window"
            )
        return self._faces

    def remaining(self) -> list[tuple[float, float]]:
        """The windows that are over where the source ends; the last one ends there."""
        if self._first is None:
            return []
        end = self.last + self._step()
        spans = self._over(end)
        answered = max((stop for _, stop in spans), default=self._answered)
        if math.isinf(answered):  # all of it is one short window
            return [(max(self._first, end - self.window), end)]
        rest = end - answered
        if self.stride <= self.window and rest > ROUNDING:
            if rest >= LEAST_REST * self.window:
                spans.append((max(self._first, end - self.window), end))
            elif spans:
                spans[-1] = (spans[-1][0], end)
        return spans

    def answer(self, start: float, stop: float) -> Rolled:
        """What is said of the frames from `start` to `stop` seconds."""
        self._answered = stop
        held = self._frames(start, stop)
        footage = replace(self.footage, frames=lambda: iter(held), expected=len(held), notes=())
        watching = replace(self.watching, spacing=WHOLE)
        said = self.judge.watch(footage, watching, keep=self.keep, known=self._known).predictions
        start, stop = round(start, 3), round(stop, 3)
        return Rolled(start, stop, tuple(replace(each, start=start, end=stop) for each in said))

    def _frames(self, start: float, stop: float) -> list[TimedFrame]:
        stop = max(stop, start + 2 * ROUNDING)  # a source of one frame has no length
        return [each for each in self._held if start - ROUNDING <= each.seconds < stop - ROUNDING]
