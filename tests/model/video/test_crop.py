"""The square of a face: margin, rotation, borders, and size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dfer_model.video.crop import Square, cut, face_square

NO_EYES = (math.nan,) * 4


def test_the_square_is_around_the_box_with_a_margin() -> None:
    assert face_square((10, 20, 50, 80), NO_EYES, 0.5) == Square(30, 50, 90, 0.0)
    level = face_square((10, 20, 50, 80), (20, 40, 40, 40), 0)
    assert level == Square(30, 50, 60, 0.0)
    turned = face_square((10, 20, 50, 80), (20, 40, 40, 60), 0)
    assert turned.angle == pytest.approx(math.pi / 4)


def test_an_upright_square_has_the_original_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    assert np.array_equal(cut(pixels, Square(30, 25, 20)), pixels[15:35, 20:40])


def test_it_is_black_where_the_frame_ends() -> None:
    pixels = np.full((40, 40, 3), 200, np.uint8)
    crop = cut(pixels, Square(0, 20, 20))
    assert crop.shape == (20, 20, 3)
    assert crop[:, :10].max() == 0
    assert crop[:, 10:].min() == 200


def test_eyes_are_level_in_the_crop() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    left, right = (80, 90), (116, 110)  # the head leans to its left, seen in the picture: clockwise
    for x, y in (left, right):
        pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = cut(pixels, face_square((60, 60, 140, 140), (*left, *right), 0.2)).max(axis=2)
    heights, widths = np.nonzero(crop > 128)
    one, other = (heights[widths < 48], heights[widths >= 48])
    assert one.mean() == pytest.approx(other.mean(), abs=0.6)
    apart = widths[widths >= 48].mean() - widths[widths < 48].mean()
    assert apart == pytest.approx(math.hypot(36, 20), abs=1)


def test_a_huge_face_is_made_smaller() -> None:
    pixels = np.full((2160, 3840, 3), 90, np.uint8)
    crop = cut(pixels, Square(1900, 1000, 1500))
    assert crop.shape == (512, 512, 3)
    assert np.all(crop == 90)
