"""Detection of cuts between shots, and of boxes that show different faces.

Images are compared by the correlation of thumbnails, which does not depend on brightness.
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
FLAT = 2.0  # of 255: the standard deviation below which an image counts as blank
# In real footage a face differs from one frame to the next by up to 0.06, after 10 frames by 0.07; the faces
# of two people by at least 0.33.
LEAST_CHANGE = 0.25
# A change must also be this many times the median one: fast motion and noise change every frame.
TIMES_USUAL = 4.0
REMEMBERED = 12  # changes
AROUND = 0.2  # margin on each side, as a share of the face's side


def thumbnail(pixels: Pixels) -> Thumbnail:
    """The image reduced to (32, 32, 3), minus its mean colour."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small - small.mean((0, 1)), np.float32)


def face_thumbnail(pixels: Pixels, box: Box) -> Thumbnail:
    """The thumbnail of the box with a margin, clipped to the frame."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    across, down = AROUND * (right - left), AROUND * (bottom - top)
    x = np.clip([left - across, right + across], 0, width).round().astype(int)
    y = np.clip([top - down, bottom + down], 0, height).round().astype(int)
    if x[1] <= x[0] or y[1] <= y[0]:
        return np.zeros((SIDE, SIDE, 3), np.float32)
    return thumbnail(np.ascontiguousarray(pixels[y[0] : y[1], x[0] : x[1]]))


def is_flat(picture: Thumbnail) -> bool:
    """Whether it is blank, such as a black frame."""
    return float(picture.std()) < FLAT


def difference(one: Thumbnail, other: Thumbnail) -> float:
    """1 minus their correlation, 0..2; 0 if one of them is flat."""
    if is_flat(one) or is_flat(other):
        return 0.0
    product = float((one * other).sum())
    return 1 - product / float(np.linalg.norm(one) * np.linalg.norm(other))


class Changes:
    """Detects sudden changes in a series of images; flat images are skipped."""

    def __init__(self) -> None:
        self._last: Thumbnail | None = None
        self._usual: deque[float] = deque(maxlen=REMEMBERED)

    def is_sudden(self, picture: Thumbnail) -> bool:
        """Whether the image differs suddenly from the last one; does not update the state."""
        if self._last is None:
            return False
        usual = median(self._usual) if self._usual else 0.0
        return difference(self._last, picture) > max(LEAST_CHANGE, TIMES_USUAL * usual)

    def take(self, picture: Thumbnail) -> bool:
        """Add the next image. Returns whether it differs suddenly from the last one."""
        sudden = self.is_sudden(picture)
        if is_flat(picture):
            return False
        if self._last is not None and not sudden:
            self._usual.append(difference(self._last, picture))
        if sudden:
            self._usual.clear()
        self._last = picture
        return sudden
