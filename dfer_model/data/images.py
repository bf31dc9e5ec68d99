"""One frame, from file bytes to pixels and back; without torch, which packing processes need not load."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from dfer_model.errors import InputError

Pixels = npt.NDArray[np.uint8]
# Frames that a video's decoder gave have no file of their own; at 95 the loss is below the video's own.
JPEG_QUALITY = 95
# Of one frame: an 8K video has 33 million. A file of 20 kB may say that it has 30,000 x 30,000.
MOST_PIXELS = 50_000_000


_TOO_LARGE = f"has more than {MOST_PIXELS // 10**6} million pixels"


def decode_pixels(encoded: bytes, room: Pixels | None = None) -> Pixels:
    """The uint8 RGB pixels (H, W, 3) of a JPEG or PNG file's bytes.

    A JPEG of just its size may be decoded into `room` (H, W, 3), which is then what is returned.
    Raises InputError, a predicate without the file's name, when they are neither, are cut off, or have more
    than 8 bits a channel or 50 million pixels.
    """
    pixels = _decode_whole_jpeg(encoded, room)
    return _decode_any(encoded) if pixels is None else pixels


def _decode_whole_jpeg(encoded: bytes, room: Pixels | None) -> Pixels | None:
    """The pixels by libjpeg-turbo itself, or None for whatever it is not wholly content with."""
    if not encoded.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if colours in ("CMYK", "YCCK") or height * width > MOST_PIXELS:
            return None
        if room is None or room.shape != (height, width, 3):
            room = np.empty((height, width, 3), np.uint8)
        simplejpeg.decode_jpeg(encoded, "RGB", buffer=room)
    except ValueError:
        return None
    return room


def _decode_any(encoded: bytes) -> Pixels:
    try:
        with open_image(io.BytesIO(encoded)) as image:
            image.load()
            too_deep = image.mode.startswith(("I", "F"))
            pixels = np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise InputError("is neither JPEG nor PNG" if encoded else "is empty") from error
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError("is damaged or cut off") from error
    if too_deep:
        raise InputError("has more than 8 bits a channel")
    return pixels


def open_image(file: Path | BinaryIO, formats: tuple[str, ...] = ("JPEG", "PNG")) -> Image.Image:
    """A picture file, opened by Pillow and not yet decoded.

    Raises InputError, a predicate without the file's name, when it has more than 50 million pixels, and what
    `PIL.Image.open` raises.
    """
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = Image.open(file, formats=formats)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(_TOO_LARGE) from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise InputError(_TOO_LARGE)
    return image


def encode_jpeg(pixels: Pixels) -> bytes:
    """The pixels (H, W, 3) as a JPEG file of quality 95."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
