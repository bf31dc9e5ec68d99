"""Where one shot of a video gives way to the next, and whether two boxes show the same face.

Pictures are compared by the correlation of thumbnails, which a change of brightness leaves as it is.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from dfer_model.data.images import Pixels

from .detect import Box

Thumbnail = npt.NDArray[np.float32]

SIDE = 32  # pixels of a thumbnail
FLAT = 2.0  # of 255: the standard deviation below which a picture shows nothing
# On real footage the same face differs from one frame to the next by up to 0.06, after 10 frames by 0.07; two
# people's faces by 0.33 and more.
LEAST_CHANGE = 0.25
# A change must also be this many times the usual one: fast motion and noise change every frame.
TIMES_USUAL = 4.0
REMEMBERED = 12  # changes
AROUND = 0.2  # of a face's sides, shown around it on either side


def thumbnail(pixels: Pixels) -> Thumbnail:
    """The picture in small, without its mean colour, (32, 32, 3)."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small - small.mean((0, 1)), np.float32)


def face_thumbnail(pixels: Pixels, box: Box) -> Thumbnail:
    """The box and a little around it, as far as they are in the frame."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    across, down = AROUND * (right - left), AROUND * (bottom - top)
    x = np.clip([left - across, right + across], 0, width).round().astype(int)
    y = np.clip([top - down, bottom + down], 0, height).round().astype(int)
    if x[1] <= x[0] or y[1] <= y[0]:
        return np.zeros((SIDE, SIDE, 3), np.float32)
    return thumbnail(np.ascontiguousarray(pixels[y[0] : y[1], x[0] : x[1]]))


def is_flat(picture: Thumbnail) -> bool:
    """Whether it shows nothing, as a black frame does."""
    return float(picture.std()) < FLAT


def difference(one: Thumbnail, other: Thumbnail) -> float:
    """1 minus their correlation, 0..2; 0 where one of them is flat, for nothing can be said."""
    if is_flat(one) or is_flat(other):
        return 0.0
    product = float((one * other).sum())
    return 1 - product / float(np.linalg.norm(one) * np.linalg.norm(other))


class Changes:
    """Tells a sudden change in a series of pictures; a flat one between two is passed over."""

    def __init__(self) -> None:
        self._last: Thumbnail | None = None
        self._usual: deque[float] = deque(maxlen=REMEMBERED)

    def is_sudden(self, picture: Thumbnail) -> bool:
        """Whether the picture is another than the last one taken in; it is not taken in."""
        if self._last is None:
            return False
        usual = median(self._usual) if self._usual else 0.0
        return difference(self._last, picture) > max(LEAST_CHANGE, TIMES_USUAL * usual)

    def take(self, picture: Thumbnail) -> bool:
        """Take the next picture in. Returns whether it is another than the last one."""
        sudden = self.is_sudden(picture)
        if is_flat(picture):
            return False
        if self._last is not None and not sudden:
            self._usual.append(difference(self._last, picture))
        if sudden:
            self._usual.clear()
        self._last = picture
        return sudden
