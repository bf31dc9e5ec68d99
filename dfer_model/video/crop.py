"""A face cut out of its frame: a square around its box, turned so that the eyes are level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dfer_model.data.images import Pixels

MARGIN = 0.2  # of the face's longer side, half of it on either side
LARGEST_SIDE = 512  # pixels; of a face that fills a 4K frame, no model sees more


@dataclass(frozen=True)
class Square:
    """A square in a frame: its centre and side in pixels, and by how much it is turned, in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0  # clockwise as seen in the picture


def face_square(box: Sequence[float], eyes: Sequence[float], margin: float = MARGIN) -> Square:
    """The square around a face's box (left, top, right, bottom), its side the longer one times 1 + `margin`.

    With `eyes` (x, y of the left one in the picture, then of the right one; nan for none) it is turned as the
    line between them.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + margin)
    angle = 0.0 if math.isnan(sum(eyes)) else math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0])
    return Square((left + right) / 2, (top + bottom) / 2, max(side, 1.0), angle)


def cut(pixels: Pixels, square: Square) -> Pixels:
    """The square as uint8 RGB (S, S, 3), upright and black where the frame ends.

    S is its side in whole pixels, and 512 at most.
    """
    side = max(1, round(square.side))
    cosine, sine = math.cos(square.angle), math.sin(square.angle)
    middle = (side - 1) / 2  # the centres of pixels are whole numbers
    x, y = square.x - 0.5, square.y - 0.5
    # From a place in the crop to its place in the frame.
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
