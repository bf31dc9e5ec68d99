"""Frame sampling against values worked out by hand from the rule."""

from __future__ import annotations

import numpy as np
import pytest

from dfer_model.data.sampling import sample_test, sample_test_segments, sample_train
from dfer_model.errors import InputError


@pytest.mark.parametrize(
    ("n", "frames", "expected"),
    [
        (32, 16, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31]),  # t = 2: 1 + 2i
        # t = 25/16 = 1.5625: int(.78125 + 1.5625i)
        (25, 16, [0, 2, 3, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 21, 22, 24]),
        (10, 4, [1, 3, 6, 8]),  # t = 2.5: 1.25, 3.75, 6.25, 8.75
        (17, 16, [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16]),  # t = 1.0625: 8.5 -> i=8 is 9.03
        (16, 16, list(range(16))),
        (3, 5, [0, 1, 2, 2, 2]),
        (1, 3, [0, 0, 0]),
        (9, 1, [4]),
    ],
)
def test_test_frames(n: int, frames: int, expected: list[int]) -> None:
    assert sample_test(n, frames) == expected


def test_test_segments_are_evenly_spaced() -> None:
    assert sample_test_segments(10, 4, 1) == [[1, 3, 6, 8]]
    # t = 2.5: 5/12 + 2.5 i, then 5/4 + 2.5 i, which is the one sample's own, then 25/12 + 2.5 i.
    assert sample_test_segments(10, 4, 3) == [[0, 2, 5, 7], [1, 3, 6, 8], [2, 4, 7, 9]]
    assert sample_test_segments(3, 4, 2) == [[0, 1, 2, 2]] * 2


def test_train_sampling_draws_one_frame_from_all_of_each_segment() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([sample_train(70, 16, rng) for _ in range(400)])  # 70 // 16 = 4
    offsets = drawn - 4 * np.arange(16)
    assert offsets.min() == 0
    assert offsets.max() == 3
    assert all(set(column) == {0, 1, 2, 3} for column in offsets.T)
    assert drawn.max() == 63  # the last 70 % 16 = 6 frames are never drawn


@pytest.mark.parametrize(
    ("n", "frames", "expected"),
    [(16, 16, list(range(16))), (31, 16, list(range(16))), (4, 6, [0, 1, 2, 3, 3, 3]), (1, 2, [0, 0])],
)
def test_train_frames_without_a_choice_are_fixed(n: int, frames: int, expected: list[int]) -> None:
    assert sample_train(n, frames, np.random.default_rng(5)) == expected


@pytest.mark.parametrize(("n", "frames"), [(0, 16), (5, 0), (-1, 4)])
def test_no_frames_is_an_error(n: int, frames: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        sample_test(n, frames)
    with pytest.raises(InputError, match="at least 1"):
        sample_train(n, frames, np.random.default_rng(0))
