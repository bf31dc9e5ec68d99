"""A video watched in two passes: where the faces are, then the frames of each window, cut out.

One frame is held at a time. The first pass keeps a row of numbers for each face in each frame; the second
keeps the crops of the windows that are not full yet, and nothing of a window that was given.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dfer_model.data.images import Pixels
from dfer_model.errors import InputError, NoFace

from .crops import MARGIN, cut, face_square
from .detectors import Detector, Face
from .footage import Footage
from .tracking import FacePath, Track, Tracker, largest_at_a_time
from .windows import Spacing, Window

Report = Callable[[int, int, str], None]
LOOKING, CUTTING = "looking for faces", "cutting faces"


def say_nothing(done: int, total: int, note: str = "") -> None:
    """Say nothing about how far the work is."""


@dataclass(frozen=True)
class Watching:
    """How a video is watched.

    `detector` None takes frames whole, as the one track 1. `track` is "largest" (the largest face at a time),
    "all", or a track's number. `margin` is of the crops, see `face_square`. Faces are looked for in the first
    frame and `every` so many, and are on a straight line in between.
    """

    detector: Detector | None
    track: str | int = "largest"
    spacing: Spacing = field(default_factory=Spacing)
    margin: float = MARGIN
    every: int = 1

    def __post_init__(self) -> None:
        if not (self.track in ("largest", "all") or (isinstance(self.track, int) and self.track >= 1)):
            raise InputError(f"--track {self.track} is no track\nGive largest, all, or a number from 1")
        if not 0 <= self.margin <= 3:
            raise InputError(f"--margin {self.margin:g} is outside 0..3 of the face's longer side")
        if self.every < 1:
            raise InputError(f"--every {self.every}\nGive 1 to look for faces in each frame, or more")

    def looks_at(self, index: int) -> bool:
        """Whether faces are looked for in this frame."""
        return self.detector is not None and index % self.every == 0


@dataclass(frozen=True)
class Followed:
    """The faces of a video: `tracks` all that were found, `problem` why it ended early, if it did.

    `frames` and `seconds` are its length as far as it could be read; `size` its frames' width and height.
    """

    tracks: tuple[FacePath, ...]
    frames: int
    seconds: float
    size: tuple[int, int]
    problem: str | None = None

    def chosen(self, track: str | int) -> list[FacePath]:
        """The tracks that `Watching.track` means."""
        if track == "largest":
            return largest_at_a_time(self.tracks)
        return [path for path in self.tracks if track in ("all", path.number)]


def follow(footage: Footage, watching: Watching, report: Report = say_nothing) -> Followed:
    """The first pass: every face of every frame, as tracks.

    Raises InputError when not one frame can be read; after that, what is wrong becomes `problem`.
    """
    tracker, whole, detector = Tracker(), Track(1), watching.detector
    count, seconds, size, problem = 0, 0.0, (0, 0), None
    try:
        for timed in footage.frames():
            count, seconds = timed.index + 1, timed.seconds
            size = (timed.pixels.shape[1], timed.pixels.shape[0])
            if detector is None:
                whole.append(
                    timed.index, timed.seconds, Face((0.0, 0.0, float(size[0]), float(size[1])), 1.0)
                )
            elif watching.looks_at(timed.index):
                tracker.update(timed.index, timed.seconds, detector(timed.pixels))
            else:
                tracker.skip(timed.index, timed.seconds)
            report(count, max(count, footage.expected), LOOKING if detector else "reading")
    except InputError as error:
        if not count:
            raise
        problem = str(error)
    tracks = tracker.finish() if detector else [whole]
    paths = tuple(track.path() for track in tracks)
    return Followed(paths, count, seconds + 1 / footage.rate, size, problem)


def shown(
    footage: Footage,
    paths: Iterable[FacePath],
    windows: Sequence[Window],
    watching: Watching,
    report: Report = say_nothing,
) -> Iterator[tuple[Window, list[Pixels]]]:
    """The second pass: each window with its frames' crops, uint8 RGB (S, S, 3), as soon as it is full.

    Without a detector the frames are whole, (H, W, 3). Raises as reading the footage does.
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
            held[number, row] = _crop(timed.pixels, path_of[number], row, watching)
        while waiting and max(waiting[0].frames) <= timed.index:
            window = waiting.popleft()
            yield window, [held[window.track, row] for row in window.rows]
            _let_go(held, uses, window)
        report(timed.index + 1, max(timed.index + 1, footage.expected), CUTTING)
        if not waiting:
            return


def _crop(pixels: Pixels, path: FacePath, row: int, watching: Watching) -> Pixels:
    if watching.detector is None:
        return pixels
    return cut(pixels, face_square(path.boxes[row], path.eyes[row], watching.margin))


def _let_go(held: dict[tuple[int, int], Pixels], uses: Counter[tuple[int, int]], window: Window) -> None:
    for row in set(window.rows):
        uses[window.track, row] -= 1
        if not uses[window.track, row]:
            del held[window.track, row]


def face_frames(footage: Footage, watching: Watching, report: Report = say_nothing) -> Iterator[Pixels]:
    """Every frame's crop of the track with the most face in it, in order.

    Raises InputError when no face is found, and when the footage is damaged anywhere.
    """
    followed = follow(footage, watching, report)
    if followed.problem:
        raise InputError(followed.problem)
    if not followed.tracks:
        raise NoFace(f"no face was found in {footage.name}")
    path = max(followed.tracks, key=lambda each: each.size)
    row_of = {int(frame): row for row, frame in enumerate(path.frames)}
    for timed in footage.frames():
        if timed.index in row_of:
            yield _crop(timed.pixels, path, row_of[timed.index], watching)
