"""Face crops: a square around the box, rotated so that the eyes are level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dfer_model.data.images import Pixels

MARGIN = 0.2  # share of the face's longer side, half on either side
LARGEST_SIDE = 512  # pixels; no model uses more


@dataclass(frozen=True)
class Square:
    """A square in a frame: centre and side in pixels, rotation in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0  # clockwise in the image


def face_square(box: Sequence[float], eyes: Sequence[float], margin: float = MARGIN) -> Square:
    """The square around a face's box (left, top, right, bottom), its side the longer one times 1 + `margin`.

    With `eyes` (x, y of the left eye in the image, then of the right one; nan for none) it is rotated
    like the line between them.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + margin)
    angle = 0.0 if math.isnan(sum(eyes)) else math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0])
    return Square((left + right) / 2, (top + bottom) / 2, max(side, 1.0), angle)


def cut(pixels: Pixels, square: Square) -> Pixels:
    """The square as uint8 RGB (S, S, 3), upright, black outside the frame.

    S is its side in pixels, 512 at most.
    """
    side = max(1, round(square.side))
    cosine, sine = math.cos(square.angle), math.sin(square.angle)
    middle = (side - 1) / 2  # pixel centres are integers
    x, y = square.x - 0.5, square.y - 0.5
    # Maps crop coordinates to frame coordinates.
    turn = np.array(
        [
            [cosine, -sine, x - cosine * middle + sine * middle],
            [sine, cosine, y - sine * middle - cosine * middle],
        ]
    )
    crop = cv2.warpAffine(pixels, turn, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    if side > LARGEST_SIDE:
        crop = cv2.resize(crop, (LARGEST_SIDE, LARGEST_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)
