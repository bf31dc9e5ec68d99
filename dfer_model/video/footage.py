"""Sources of frames that can be read repeatedly (a video file, an image, a folder of images), and cuts.

Cuts between shots, and boxes that show different faces, are detected by the correlation of thumbnails, which
does not depend on brightness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt
from PIL import UnidentifiedImageError

from dfer_model.data.images import (
    Pixels,
    as_jpeg_or_png,
    decode_pixels,
    is_animated_webp,
    is_video_name,
    open_image,
    upright,
)
from dfer_model.data.layouts import frame_files, in_words, natural_key, other_files
from dfer_model.data.video import ASSUMED_RATE, TimedFrame, decode_timed, video_facts
from dfer_model.errors import InputError

from .detect import Box

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
A_PICTURE = "is an image, not a video: it is used as a single frame, without motion"
NO_RATE = "has no frame rate: 25 frames per second are assumed"


@dataclass(frozen=True)
class Footage:
    """Frames that can be read repeatedly, one at a time.

    `name` is the displayed name, `file` the file or folder; `expected` the declared number of frames, for a
    progress bar, 0 if unknown. `origin` is the timestamp in seconds of the file that counts as second 0.
    """

    name: Path
    file: Path
    frames: Callable[[], Iterator[TimedFrame]]
    rate: float
    expected: int
    notes: tuple[str, ...] = ()
    origin: float = 0.0


def open_footage(file: Path, name: Path | None = None) -> Footage:
    """The frames of a video, of an image (one, with a note), or of a folder of images in natural order.

    `name` is the displayed name, by default the file. Raises InputError if it is none of these; reading
    the frames raises as `decode_video` does.
    """
    name = name or file
    if file.is_dir():
        files = frame_files(file)
        if not files:
            raise InputError(f"{file} has no images (.jpg, .png, .webp, .bmp or .tif)")
        note = f"{name} {NO_RATE}"
        return Footage(name, file, lambda: _pictures(files), ASSUMED_RATE, len(files), (note,))
    if _is_picture(file):
        return Footage(name, file, lambda: _picture(file), ASSUMED_RATE, 1, (f"{name} {A_PICTURE}",))
    facts = video_facts(file)
    notes = () if facts.rate else (f"{name} {NO_RATE}",)
    return Footage(
        name, file, lambda: decode_timed(file), facts.rate or ASSUMED_RATE, facts.frames, notes, facts.origin
    )


def videos_in(folder: Path) -> list[Path]:
    """The video files of a folder in natural order. Raises InputError if there are none."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and _is_video(path)]
    if not found:
        raise InputError(
            f"no video in the folder {folder}\n"
            "For a folder of images that are the faces of one clip, use --faces given"
        )
    return sorted(found, key=lambda path: natural_key(path.name))


def left_out(folder: Path) -> str | None:
    """A note that counts and names the files that `videos_in` skips, None if there are none."""
    others = other_files(folder, _is_video)
    if not others:
        return None
    return f"skipped in {folder}, {len(others)} files without the name of a video: {in_words(others, folder)}"


def _is_video(path: Path) -> bool:
    return path.is_file() and is_video_name(path)


def _is_picture(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        head = stream.read(12)
    is_webp = head[:4] + head[8:] == b"RIFFWEBP" and not is_animated_webp(file)
    return head.startswith(PICTURES) or is_webp


def _picture(file: Path) -> Iterator[TimedFrame]:
    try:
        with open_image(file, ("JPEG", "PNG", "WEBP")) as image:
            pixels = np.array(upright(image).convert("RGB"))
    except InputError as error:
        raise InputError(f"{file} {error}") from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{file} is damaged or truncated\nCopy or download it again") from error
    yield TimedFrame(0, 0.0, pixels)


def _pictures(files: Sequence[Path]) -> Iterator[TimedFrame]:
    for index, file in enumerate(files):
        try:
            pixels: Pixels = decode_pixels(as_jpeg_or_png(file.read_bytes()))
        except InputError as error:
            raise InputError(f"{file} {error}") from error
        yield TimedFrame(index, index / ASSUMED_RATE, pixels)


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
