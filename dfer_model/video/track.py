"""Face tracking: detections of single frames are joined to tracks, and short gaps are interpolated.

Faces are assigned to tracks by intersection over union (Hungarian assignment), with the track's last box or
the one extrapolated from its motion. A box that suddenly shows another face starts a new track. A track
stores one row of numbers per frame: an hour of video needs a few megabytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment

from .detect import Box, Face
from .footage import Changes, Thumbnail

Values = npt.NDArray[np.float64]

LEAST_OVERLAP = 0.3
MOTION_ROWS = 5  # rows used to estimate the motion of a track
# Timestamps jump if two frames are further apart than this, and than this many median steps.
LEAP_SECONDS = 2.0
LEAP_STEPS = 5
# A track without a face ends after both of these.
MISSED_FRAMES = 5
MISSED_SECONDS = 0.5
LEAST_DETECTIONS = 3  # per track, if the video has as many frames: single detections are false positives
SMOOTHING_SECONDS = 0.08  # standard deviation of the Gaussian over time
SHARED_TIME = 0.5  # share of a track's frames in which a larger face may be visible

_COLUMNS = 11  # frame, seconds, box (4), score, the eyes (4)


@dataclass
class Track:
    """One face through the video: a row for each frame from its first to its last.

    Frames without a detection are interpolated linearly; their score is nan.
    """

    number: int
    _rows: array[float] = field(default_factory=lambda: array("d"))

    def append(self, index: int, seconds: float, face: Face) -> None:
        """Add the detection of the next frame."""
        self._rows.extend([index, seconds, *face.box, face.score, *_eyes(face)])

    def fill(self, missed: Sequence[tuple[int, float]], upto: Face) -> None:
        """Interpolate rows for the (frame, seconds) without detection between the last row and `upto`."""
        before = np.array(self._rows[-_COLUMNS:])
        after = np.array([0, 0, *upto.box, 0, *_eyes(upto)])
        for place, (index, seconds) in enumerate(missed, start=1):
            share = place / (len(missed) + 1)
            row = (1 - share) * before + share * after
            row[[0, 1, 6]] = index, seconds, np.nan
            self._rows.extend(row.tolist())

    def hold(self, skipped: Sequence[tuple[int, float]]) -> None:
        """Add rows for the (frame, seconds) after the last one that were not analysed: the box stays."""
        last = self._rows[-_COLUMNS:]
        for index, seconds in skipped:
            last[0], last[1], last[6] = index, seconds, np.nan
            self._rows.extend(last)

    @property
    def table(self) -> Values:
        """The rows, (frames, 11)."""
        return np.frombuffer(self._rows.tobytes(), np.float64).reshape(-1, _COLUMNS)

    @property
    def box(self) -> Box:
        """The last box."""
        left, top, right, bottom = self._rows[-_COLUMNS + 2 : -_COLUMNS + 6]
        return left, top, right, bottom

    def box_at(self, seconds: float) -> Box:
        """The box extrapolated to a later second from the motion of the last frames, with constant size."""
        rows = np.array(self._rows[-_COLUMNS * MOTION_ROWS :]).reshape(-1, _COLUMNS)
        lasted = rows[-1, 1] - rows[0, 1]
        if lasted <= 0:
            return self.box
        centres = rows[:, 2:4] + rows[:, 4:6]  # twice the centres
        moved = (centres[-1] - centres[0]) / 2 * (seconds - rows[-1, 1]) / lasted
        left, top, right, bottom = (rows[-1, 2:6] + np.tile(moved, 2)).tolist()
        return left, top, right, bottom

    def __len__(self) -> int:
        return len(self._rows) // _COLUMNS

    def path(self) -> FacePath:
        """The track with boxes and eyes smoothed over time."""
        table = self.table
        places = table[:, [2, 3, 4, 5, 7, 8, 9, 10]].copy()
        if len(table) > 1:
            step = float(np.median(np.diff(table[:, 1])))
            places = gaussian_filter1d(places, SMOOTHING_SECONDS / step, axis=0, mode="nearest")
        return FacePath(
            self.number, table[:, 0].astype(np.int64), table[:, 1], places[:, :4], places[:, 4:], table[:, 6]
        )


@dataclass(frozen=True)
class FacePath:
    """A track for cropping: `frames` and `seconds` (n,), `boxes` (n, 4), `eyes` (n, 4), `scores` (n,).

    `eyes` are x, y of the left eye in the image and of the right one, nan without landmarks.
    """

    number: int
    frames: npt.NDArray[np.int64]
    seconds: Values
    boxes: Values
    eyes: Values
    scores: Values

    @property
    def size(self) -> float:
        """The area of the face in square pixels, summed over its frames."""
        widths, heights = (self.boxes[:, 2:] - self.boxes[:, :2]).T
        return float((widths * heights).sum())

    @property
    def end(self) -> float:
        """The second at which its last frame ends, with the median duration of a frame."""
        return float(self.seconds[-1]) + self.step

    @property
    def step(self) -> float:
        """The median seconds between frames, 0 for a single frame."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0


def _eyes(face: Face) -> list[float]:
    return [value for point in (face.landmarks or ())[:2] for value in point] or [np.nan] * 4


class Tracker:
    """Joins the faces of successive frames to tracks."""

    def __init__(self) -> None:
        self._looks: dict[int, Changes] = {}
        self._alive: list[Track] = []
        self._done: list[Track] = []
        self._missed: dict[int, list[tuple[int, float]]] = {}
        self._detections: dict[int, int] = {}
        self._frames = 0
        self._skipped: list[tuple[int, float]] = []

    def skip(self, index: int, seconds: float) -> None:
        """Record the next frame, which is not analysed."""
        self._skipped.append((index, seconds))

    def explains(self, seconds: float, faces: Sequence[Face], thumbnails: Sequence[Thumbnail] = ()) -> bool:
        """Whether these are exactly the faces of the frame before."""
        pairs = self._pairs(seconds, faces, thumbnails)
        return not self._missed and len(pairs) == len(faces) == len(self._alive)

    def end_shot(self) -> None:
        """End all tracks: the next frame is of another shot."""
        for track in self._alive:
            if track.number not in self._missed:
                track.hold(self._skipped)
        self._done += self._alive
        self._alive, self._skipped = [], []
        self._missed.clear()

    def update(
        self, index: int, seconds: float, faces: Sequence[Face], thumbnails: Sequence[Thumbnail] = ()
    ) -> list[Track]:
        """Assign the faces of the next frame. Returns the tracks that have a face in it.

        `thumbnails` are those of the faces, in order; without them only boxes are compared.
        """
        self._frames += 1
        skipped = len(self._skipped)
        if self._skipped:
            for track in self._alive:
                self._missed.setdefault(track.number, []).extend(self._skipped)
            self._skipped = []
        continued = []
        pairs = self._pairs(seconds, faces, thumbnails)
        shown = dict(zip(map(id, faces), thumbnails, strict=False))
        for track, face in pairs:
            filled = self._missed.pop(track.number, [])
            track.fill(filled, face)
            if len(filled) == skipped:  # detected before and after, so also in between
                self._detections[track.number] += skipped
            self._look(track, shown.get(id(face)))
            self._note(track, index, seconds, face)
            continued.append(track)
        for track in [each for each in self._alive if all(each is not pair[0] for pair in pairs)]:
            self._miss(track, index, seconds)
        for face in faces:
            if all(face is not pair[1] for pair in pairs):
                track = Track(len(self._detections) + 1)
                self._note(track, index, seconds, face)
                self._look(track, shown.get(id(face)))
                self._alive.append(track)
                continued.append(track)
        return continued

    def finish(self) -> list[Track]:
        """The tracks with enough detections, numbered from 1 by their first frames."""
        self.end_shot()
        least = min(LEAST_DETECTIONS, self._frames)
        tracks = sorted(self._done, key=lambda track: track.number)
        long_enough = [track for track in tracks if self._detections[track.number] >= least]
        return [Track(number, track._rows) for number, track in enumerate(long_enough, start=1)]

    def _pairs(
        self, seconds: float, faces: Sequence[Face], thumbnails: Sequence[Thumbnail]
    ) -> list[tuple[Track, Face]]:
        """Each continuing track with its face; not those whose face changes suddenly."""
        shown = dict(zip(map(id, faces), thumbnails, strict=False))
        return [
            (track, face)
            for track, face in _assigned(self._alive, faces, seconds)
            if id(face) not in shown or not self._looks[track.number].is_sudden(shown[id(face)])
        ]

    def _look(self, track: Track, thumbnail: Thumbnail | None) -> None:
        if thumbnail is not None:
            self._looks.setdefault(track.number, Changes()).take(thumbnail)

    def _note(self, track: Track, index: int, seconds: float, face: Face) -> None:
        track.append(index, seconds, face)
        self._detections[track.number] = self._detections.get(track.number, 0) + 1

    def _miss(self, track: Track, index: int, seconds: float) -> None:
        missed = self._missed.setdefault(track.number, [])
        missed.append((index, seconds))
        if len(missed) > MISSED_FRAMES and seconds - missed[0][1] >= MISSED_SECONDS:
            del self._missed[track.number]
            self._alive.remove(track)
            self._done.append(track)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def is_leap(step: float, usual: float) -> bool:
    """Whether timestamps jump between two frames `step` seconds apart; `usual` is the median step."""
    return step > max(LEAP_SECONDS, LEAP_STEPS * usual)


def _assigned(tracks: Sequence[Track], faces: Sequence[Face], seconds: float) -> list[tuple[Track, Face]]:
    if not tracks or not faces:
        return []
    places = [(track.box, track.box_at(seconds)) for track in tracks]
    overlaps = np.array(
        [[max(overlap(box, face.box) for box in boxes) for face in faces] for boxes in places]
    )
    chosen: Any = linear_sum_assignment(overlaps, maximize=True)
    return [(tracks[i], faces[j]) for i, j in zip(*chosen, strict=True) if overlaps[i, j] >= LEAST_OVERLAP]


def largest_first(paths: Sequence[FacePath]) -> list[FacePath]:
    """The paths by the area of their faces over all their frames."""
    return sorted(paths, key=lambda path: -path.size)


def largest_at_a_time(paths: Sequence[FacePath]) -> list[FacePath]:
    """The largest face at a time: tracks without a larger one in more than half of their frames."""
    largest: list[FacePath] = []
    taken: set[int] = set()
    for path in largest_first(paths):
        frames = path.frames.tolist()
        if sum(frame in taken for frame in frames) <= SHARED_TIME * len(frames):
            largest.append(path)
            taken.update(frames)
    return sorted(largest, key=lambda path: path.number)
