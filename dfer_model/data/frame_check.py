"""Whether a frame decodes, told from less than its pixels; without torch, as packing wants it."""

from __future__ import annotations

import io

from dfer_model.data.images import decode_pixels, open_image


def check_frame(encoded: bytes) -> None:
    """Raise InputError as `decode_pixels` does, for the same bytes and in the same words; keep no pixels.

    A JPEG file is decoded to an eighth of its size in grey: its whole compressed data is read, so what is
    cut off or damaged shows, while most of the arithmetic that makes pixels of it is left out.
    """
    if not _reads_small(encoded):
        decode_pixels(encoded)


def _reads_small(encoded: bytes) -> bool:
    """Whether it is a JPEG file that decodes in small; what is not is for the whole decoder to judge."""
    try:
        with open_image(io.BytesIO(encoded), ("JPEG",)) as image:
            image.draft("L", (1, 1))
            image.load()
    except (OSError, SyntaxError, ValueError):  # InputError is a ValueError
        return False
    return True
