"""Windows of a track: start, end, and sampled frames."""

from __future__ import annotations

import numpy as np
import pytest

from dfer_model.data.sampling import sample_test, sample_test_segments
from dfer_model.errors import InputError
from dfer_model.video.track import FacePath
from dfer_model.video.windows import Spacing, windows


def path(seconds: np.ndarray, first: int = 0) -> FacePath:
    n = len(seconds)
    boxes = np.tile([10.0, 20.0, 50.0, 80.0], (n, 1))
    return FacePath(3, np.arange(first, first + n), seconds, boxes, np.full((n, 4), np.nan), np.ones(n))


def spans(seconds: np.ndarray, spacing: Spacing) -> list[tuple[float, float]]:
    return [(each.start, each.end) for each in windows(path(seconds), spacing)]


@pytest.mark.parametrize(
    ("frames", "spacing", "expected"),
    [
        (60, Spacing(), [(0, 6)]),
        (80, Spacing(), [(0, 4), (2, 6), (4, 8)]),
        (75, Spacing(), [(0, 4), (2, 6), (3.5, 7.5)]),
        (30, Spacing(1, 1), [(0, 1), (1, 2), (2, 3)]),
        (30, Spacing(2), [(0, 2), (1, 3)]),
        (25, Spacing(1, 1), [(0, 1), (1, 2), (1.5, 2.5)]),
        (30, Spacing(1, 2), [(0, 1), (2, 3)]),
        (25, Spacing(1, 2), [(0, 1)]),
        (81, Spacing(4, 2), [(0, 4), (2, 6), (4, 8.1)]),  # 0.1 s are no window of their own
        (42, Spacing(4, 4), [(0, 4.2)]),
        (44, Spacing(4, 4), [(0, 4), (0.4, 4.4)]),
        (5, Spacing(4), [(0, 0.5)]),
        (1, Spacing(), [(0, 0)]),
    ],
)
def test_spans_at_ten_frames_a_second(
    frames: int, spacing: Spacing, expected: list[tuple[float, float]]
) -> None:
    assert spans(np.arange(frames) / 10, spacing) == expected


def test_the_whole_of_a_short_track_is_sampled_as_a_test_does() -> None:
    (window,) = windows(path(np.arange(50) / 25, first=100), Spacing(), frames=16)
    assert window.rows == tuple(sample_test(50, 16))
    assert window.frames == tuple(100 + row for row in window.rows)
    assert window.track == 3
    assert window.box == (10, 20, 50, 80)
    (window,) = windows(path(np.arange(50) / 25), Spacing(), frames=4, segments=2)
    assert window.rows == tuple(row for each in sample_test_segments(50, 4, 2) for row in each)


def test_the_box_of_a_window_is_the_median_of_its_frames() -> None:
    leaping = path(np.arange(5) / 25)
    leaping.boxes[4] += 1000
    (window,) = windows(leaping, Spacing(), frames=4)
    assert window.box == (10, 20, 50, 80)


def test_each_frame_is_in_a_window_of_a_video_of_any_rate() -> None:
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.uniform(0.01, 0.2, 400))
    found = list(windows(path(seconds), Spacing(3, 1.5), frames=400))
    covered = {row for window in found for row in window.rows}
    assert covered == set(range(400))
    assert all(len(set(window.rows)) > 1 for window in found)


def test_a_jump_of_the_timestamps_makes_no_empty_windows() -> None:
    seconds = np.concatenate([np.arange(100) / 10, 1e7 + np.arange(100) / 10])
    found = list(windows(path(seconds), Spacing(4, 2)))
    assert len(found) < 20
    assert {0, 150} < {row // 50 * 50 for window in found for row in window.rows}


@pytest.mark.parametrize("spacing", [(0, None), (float("nan"), None), (1, -1), (1, 0.01)])
def test_invalid_lengths_are_refused(spacing: tuple[float, float | None]) -> None:
    with pytest.raises(InputError, match=r"Give 0\.1 seconds or more"):
        Spacing(*spacing)


def test_no_window_crosses_a_jump_of_the_timestamps() -> None:
    seconds = np.concatenate([np.arange(35) / 10, 30 + np.arange(52) / 10])
    assert spans(seconds, Spacing(4, 2)) == [(0, 3.5), (30, 34), (31.2, 35.2)]
    assert spans(seconds, Spacing(1e9)) == [(0, 35.2)]  # asked for as a whole
    slow = np.arange(20) * 10.0  # a frame in ten seconds is no leap
    assert len(spans(slow, Spacing(40, 40))) == 5
