"""Frames of animated WebP files, through Pillow, because not every FFmpeg decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dfer_model.data.annotations import VIDEO_SUFFIXES
from dfer_model.data.images import Pixels, open_image
from dfer_model.errors import InputError

_ANIMATED = 0x02  # of the flags in the extended header


def is_animated_webp(path: Path) -> bool:
    """Whether the file is an animated WebP by its first bytes; False if it does not exist."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(21)
    return len(head) == 21 and head[:4] + head[8:16] == b"RIFFWEBPVP8X" and bool(head[20] & _ANIMATED)


def is_video_name(path: Path) -> bool:
    """Whether a file is a video by its name; a WebP file must be animated."""
    suffix = path.suffix.casefold()
    return suffix in VIDEO_SUFFIXES and (suffix != ".webp" or is_animated_webp(path))


def animation_length(path: Path) -> tuple[int, float]:
    """The number of frames and the duration in seconds. Raises InputError if it cannot be read."""
    count, seconds = 0, 0.0
    with _opened(path) as image:
        for count, (start, length) in enumerate(_times(path, image), 1):  # noqa: B007
            seconds = start + length
    return count, seconds


def animation(path: Path) -> Iterator[tuple[float, Pixels]]:
    """The start of each frame in seconds, and its pixels, uint8 RGB (H, W, 3).

    Raises InputError if it cannot be read, after the frames before the damage.
    """
    with _opened(path) as image:
        for start, _ in _times(path, image):
            yield start, np.array(image.convert("RGB"))


def _opened(path: Path) -> Image.Image:
    try:
        return open_image(path, ("WEBP",))
    except InputError as error:
        raise InputError(f"{path} {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a video that can be read") from error


def _times(path: Path, image: Image.Image) -> Iterator[tuple[float, float]]:
    """Seek through the frames; yield start and duration of each in seconds."""
    start = 0.0
    for index in range(getattr(image, "n_frames", 1)):
        try:
            image.seek(index)
            image.load()
        except (OSError, EOFError, SyntaxError, ValueError) as error:
            raise InputError(
                f"{path} is cut off or damaged after frame {index} ({start:.2f} s)\nCopy or download it again"
            ) from error
        length = float(image.info.get("duration") or 0) / 1000
        yield start, length
        start += length
