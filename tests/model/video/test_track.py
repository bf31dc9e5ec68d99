"""Face tracks: identity, missed frames, dropped detections, and the largest face."""

from __future__ import annotations

import numpy as np
import pytest

from dfer_model.video.detect import Face
from dfer_model.video.track import FacePath, Tracker, largest_at_a_time, overlap


def face(x: float, y: float = 50, side: float = 40) -> Face:
    """A face whose eyes lie level in its upper half."""
    eyes = ((x + side / 4, y + side / 3), (x + 3 * side / 4, y + side / 3))
    return Face((x, y, x + side, y + side), 0.9, (*eyes, (x, y), (x, y), (x, y)))


def tracked(frames: list[list[Face]], rate: float = 25) -> list[FacePath]:
    tracker = Tracker()
    for index, faces in enumerate(frames):
        tracker.update(index, index / rate, faces)
    return [track.path() for track in tracker.finish()]


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0), ((0, 0, 5, 5), 0.25)],
)
def test_overlap(other: tuple[float, float, float, float], expected: float) -> None:
    assert overlap((0, 0, 10, 10), other) == pytest.approx(expected)


def test_track_identity_does_not_depend_on_detection_order() -> None:
    frames = [[face(10 + 2 * i), face(200 - 2 * i, side=60)][:: (-1) ** i] for i in range(20)]
    one, other = tracked(frames)
    assert (len(one.frames), len(other.frames)) == (20, 20)
    assert np.all(np.diff(one.boxes[:, 0]) > 0)
    assert np.all(np.diff(other.boxes[:, 0]) < 0)


def test_a_few_missed_frames_are_filled_in_between() -> None:
    frames = [[face(10 + 2 * i)] if i not in (8, 9, 10) else [] for i in range(20)]
    (path,) = tracked(frames)
    assert path.frames.tolist() == list(range(20))
    assert np.flatnonzero(np.isnan(path.scores)).tolist() == [8, 9, 10]
    # It moves two pixels a frame all along, so what lies between is known, and smoothing leaves it there.
    assert path.boxes[6:13, 0] == pytest.approx([22, 24, 26, 28, 30, 32, 34], abs=0.01)
    assert path.eyes[9, 0] == pytest.approx(28 + 10, abs=0.01)
    assert path.seconds == pytest.approx(np.arange(20) / 25)


def test_a_face_after_a_long_gap_is_another_track() -> None:
    frames = [[face(10)] if i < 10 or i > 30 else [] for i in range(40)]
    one, other = tracked(frames)
    assert one.frames.tolist() == list(range(10))
    assert other.frames.tolist() == list(range(31, 40))


@pytest.mark.parametrize(("away", "tracks"), [(12, 1), (14, 2)])
def test_tracks_survive_gaps_of_half_a_second(away: int, tracks: int) -> None:
    frames = [[face(10)] if i < 10 or i >= 10 + away else [] for i in range(40)]
    assert len(tracked(frames)) == tracks


@pytest.mark.parametrize(("away", "tracks"), [(5, 1), (6, 2)])
def test_in_slow_videos_gaps_are_counted_in_frames(away: int, tracks: int) -> None:
    frames = [[face(10)] if i < 10 or i >= 10 + away else [] for i in range(30)]
    assert len(tracked(frames, rate=1)) == tracks


def test_single_detections_are_dropped_except_in_images() -> None:
    (path,) = tracked([[face(10), face(200)] if i in (4, 5) else [face(10)] for i in range(10)])
    assert path.number == 1
    assert len(tracked([[face(10), face(200)]])) == 2


def test_smoothing_removes_jitter_and_keeps_the_position() -> None:
    rng = np.random.default_rng(0)
    (path,) = tracked([[face(100 + rng.normal(0, 3))] for _ in range(100)])
    assert path.boxes[:, 0].std() < 1.6
    assert path.boxes[:, 0].mean() == pytest.approx(100, abs=0.5)


def test_the_largest_at_a_time() -> None:
    small = [face(10, side=30) for _ in range(40)]
    frames = [[small[i], face(200, side=80)] if i < 20 else [small[i]] for i in range(40)]
    later = [[face(300, side=50)] for _ in range(20)]
    paths = tracked([*frames, *[[] for _ in range(15)], *later])
    # The small one is beside the large one for half of its time, no more, and so has the rest to itself.
    assert [path.number for path in paths] == [1, 2, 3]
    assert [path.number for path in largest_at_a_time(paths)] == [1, 2, 3]
    assert [path.number for path in largest_at_a_time([paths[1], *tracked(frames[:20])[:1]])] == [2]
