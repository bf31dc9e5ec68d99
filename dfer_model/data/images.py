"""One frame, from file bytes to pixels and back; without torch, which packing processes need not load."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from dfer_model.errors import InputError

Pixels = npt.NDArray[np.uint8]
# Frames that a video's decoder gave have no file of their own; at 95 the loss is below the video's own.
JPEG_QUALITY = 95


def decode_pixels(encoded: bytes) -> Pixels:
    """The uint8 RGB pixels (H, W, 3) of a JPEG or PNG file's bytes.

    Raises InputError, a predicate without the file's name, when they are neither, are cut off, or have more
    than 8 bits a channel.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
            image.load()
            too_deep = image.mode.startswith(("I", "F"))
            pixels = np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise InputError("is neither JPEG nor PNG" if encoded else "is empty") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("is damaged or cut off") from error
    if too_deep:
        raise InputError("has more than 8 bits a channel")
    return pixels


def encode_jpeg(pixels: Pixels) -> bytes:
    """The pixels (H, W, 3) as a JPEG file of quality 95."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
