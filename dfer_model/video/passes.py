"""Two passes over a video: face detection and tracking, then the crops of each window.

One frame is in memory at a time. The first pass stores a row of numbers per face and frame; the second holds
the crops of incomplete windows only.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from dfer_model.data.images import Pixels
from dfer_model.data.video import TimedFrame
from dfer_model.errors import InputError, NoFace
from dfer_model.progress import Report, silent

from .crop import MARGIN, cut, face_square
from .detect import YUNET_SIDE, Detector, Face, reduced
from .footage import REMEMBERED, Changes, Footage, Thumbnail, face_thumbnail, thumbnail
from .track import FacePath, Track, Tracker, is_leap, largest_at_a_time, largest_first
from .windows import Spacing, Window

DETECTING, CROPPING = "detecting faces", "cropping faces"


@dataclass(frozen=True)
class FaceOptions:
    """The options of face analysis.

    `detector` None uses whole frames, as track 1. `track` is "largest" (the largest face at a time), "all",
    or a track's number. `margin` is that of the crops, see `face_square`. Faces are detected in the first
    frame and every `every`-th one. Between two of these frames a face moves on a straight line; if they do
    not show the same faces, the frames in between are analysed too.
    """

    detector: Detector | None
    track: str | int = "largest"
    spacing: Spacing = field(default_factory=Spacing)
    margin: float = MARGIN
    every: int = 1

    def __post_init__(self) -> None:
        if not (self.track in ("largest", "all") or (isinstance(self.track, int) and self.track >= 1)):
            raise InputError(f"--track {self.track} is not a track\nGive largest, all, or a number from 1")
        if not 0 <= self.margin <= 3:
            raise InputError(f"--margin {self.margin:g} is outside 0..3 of the face's longer side")
        if self.every < 1:
            raise InputError(f"--every is {self.every}\nGive 1 or more; 1 detects faces in each frame")

    def looks_at(self, index: int) -> bool:
        """Whether faces are detected in this frame."""
        return self.detector is not None and index % self.every == 0


@dataclass(frozen=True)
class Followed:
    """The faces of a video: all `tracks`, and `problem`, why reading ended early, or None.

    `frames` and `seconds` are the length that could be read; `size` its frames' width and height.
    """

    tracks: tuple[FacePath, ...]
    frames: int
    seconds: float
    size: tuple[int, int]
    problem: str | None = None

    def chosen(self, track: str | int) -> list[FacePath]:
        """The tracks selected by `FaceOptions.track`."""
        if track == "largest":
            return largest_at_a_time(self.tracks)
        return [path for path in self.tracks if track in ("all", path.number)]


def follow(
    footage: Footage,
    face_options: FaceOptions,
    report: Report = silent,
    known: dict[int, list[Face]] | None = None,
) -> Followed:
    """The first pass: all faces as tracks, which end at a cut or a jump of the timestamps.

    `known` are the faces of frames that were analysed before, by index; new ones are added to it. Raises
    InputError if no frame can be read; a later error becomes `problem`.
    """
    detector = face_options.detector
    following = _Following(face_options, detector, footage.rate, known) if detector else None
    frames_track = Track(1)
    count, first, seconds, size, problem = 0, 0.0, 0.0, (0, 0), None
    try:
        for timed in footage.frames():
            first = timed.seconds if not count else first
            count, seconds = timed.index + 1, timed.seconds
            size = (timed.pixels.shape[1], timed.pixels.shape[0])
            if following:
                following.take(timed)
            else:
                box = (0.0, 0.0, float(size[0]), float(size[1]))
                frames_track.append(timed.index, timed.seconds, Face(box, 1.0))
            report(count, max(count, footage.expected), DETECTING if detector else "reading")
    except InputError as error:
        if not count:
            raise
        problem = str(error)
    tracks = following.finish() if following else [frames_track]
    paths = tuple(track.path() for track in tracks)
    return Followed(paths, count, seconds - first + 1 / footage.rate, size, problem)


@dataclass(frozen=True)
class _Small:
    """A frame that is not analysed yet, reduced by the factor `scale`."""

    index: int
    seconds: float
    pixels: Pixels
    scale: float


class _Following:
    """Detects faces frame by frame and joins them to tracks."""

    def __init__(
        self, face_options: FaceOptions, detector: Detector, rate: float, known: dict[int, list[Face]] | None
    ) -> None:
        self._face_options, self._detector = face_options, detector
        self._known = known
        self._tracker, self._shots = Tracker(), Changes()
        self._between: list[_Small] = []  # frames since the last analysed one
        self._steps: deque[float] = deque([1 / rate], maxlen=REMEMBERED)
        self._last: float | None = None

    def take(self, timed: TimedFrame) -> None:
        """Analyse the next frame, or hold it until it is known whether that is needed."""
        leaps = self._leaps(timed.seconds)
        if self._shots.take(thumbnail(timed.pixels)) or leaps:
            self._look_between()
            self._tracker.end_shot()
            self._update(_Small(timed.index, timed.seconds, timed.pixels, 1.0))
        elif self._face_options.looks_at(timed.index):
            self._look(_Small(timed.index, timed.seconds, timed.pixels, 1.0))
        else:
            self._between.append(_Small(timed.index, timed.seconds, *reduced(timed.pixels, YUNET_SIDE)))

    def finish(self) -> list[Track]:
        """The tracks; after the last analysed frame faces keep their position."""
        for each in self._between:
            self._tracker.skip(each.index, each.seconds)
        return self._tracker.finish()

    def _leaps(self, seconds: float) -> bool:
        step = 0.0 if self._last is None else seconds - self._last
        leaps = is_leap(step, median(self._steps))
        if self._last is not None and not leaps:
            self._steps.append(step)
        self._last = seconds
        return leaps

    def _look(self, frame: _Small) -> None:
        """Analyse this frame; if it does not show the same faces, the frames in between first."""
        faces, thumbnails = self._faces(frame)
        if self._between and not self._tracker.explains(frame.seconds, faces, thumbnails):
            self._look_between()
        for each in self._between:
            self._tracker.skip(each.index, each.seconds)
        self._between.clear()
        self._tracker.update(frame.index, frame.seconds, faces, thumbnails)

    def _look_between(self) -> None:
        for each in self._between:
            self._update(each)
        self._between.clear()

    def _update(self, frame: _Small) -> None:
        self._tracker.update(frame.index, frame.seconds, *self._faces(frame))

    def _faces(self, frame: _Small) -> tuple[list[Face], list[Thumbnail]]:
        """The faces of a frame, in the video's pixels, and their thumbnails."""
        faces = None if self._known is None else self._known.get(frame.index)
        if faces is None:
            faces = [face.scaled(frame.scale) for face in self._detector(frame.pixels)]
        if self._known is not None:
            self._known[frame.index] = faces
        boxes = [face.scaled(1 / frame.scale).box for face in faces]
        return faces, [face_thumbnail(frame.pixels, box) for box in boxes]


def shown(
    footage: Footage,
    paths: Iterable[FacePath],
    windows: Sequence[Window],
    face_options: FaceOptions,
    report: Report = silent,
) -> Iterator[tuple[Window, list[Pixels]]]:
    """The second pass: each window with its frames' crops, uint8 RGB (S, S, 3), as soon as it is complete.

    Without a detector: whole frames (H, W, 3). Raises as reading the footage does.
    """
    path_of = {path.number: path for path in paths}
    waiting = deque(sorted(windows, key=lambda window: (max(window.frames), window.track, window.start)))
    uses = Counter((window.track, row) for window in windows for row in set(window.rows))
    rows_at: dict[int, list[tuple[int, int]]] = {}
    for number, row in uses:
        rows_at.setdefault(int(path_of[number].frames[row]), []).append((number, row))
    held: dict[tuple[int, int], Pixels] = {}
    for timed in footage.frames() if waiting else ():
        for number, row in rows_at.pop(timed.index, ()):
            held[number, row] = _crop(timed.pixels, path_of[number], row, face_options)
        while waiting and max(waiting[0].frames) <= timed.index:
            window = waiting.popleft()
            yield window, [held[window.track, row] for row in window.rows]
            _release(held, uses, window)
        report(timed.index + 1, max(timed.index + 1, footage.expected), CROPPING)
        if not waiting:
            return


def _crop(pixels: Pixels, path: FacePath, row: int, face_options: FaceOptions) -> Pixels:
    if face_options.detector is None:
        return pixels
    return cut(pixels, face_square(path.boxes[row], path.eyes[row], face_options.margin))


def _release(held: dict[tuple[int, int], Pixels], uses: Counter[tuple[int, int]], window: Window) -> None:
    for row in set(window.rows):
        uses[window.track, row] -= 1
        if not uses[window.track, row]:
            del held[window.track, row]


def face_frames(footage: Footage, face_options: FaceOptions, report: Report = silent) -> Iterator[Pixels]:
    """The crops of the largest face at a time, of each frame with a face, in order.

    These are the tracks of `FaceOptions.track` "largest"; if a frame has two of them, the larger one is used.
    Raises NoFace if no face is found, and InputError if the footage is damaged.
    """
    followed = follow(footage, face_options, report)
    if followed.problem:
        raise InputError(followed.problem)
    if not followed.tracks:
        raise NoFace(f"no face was found in {footage.name}")
    place_of = {
        int(frame): (path, row)
        for path in reversed(largest_first(followed.chosen("largest")))
        for row, frame in enumerate(path.frames)
    }
    for timed in footage.frames():
        if timed.index in place_of:
            yield _crop(timed.pixels, *place_of[timed.index], face_options)
