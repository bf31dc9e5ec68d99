"""Decoding, checking and encoding of one frame; without torch, so that packing processes start fast.

Animated WebP files are read here too, by Pillow, because not every FFmpeg decodes them.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from dfer_model.data.annotations import VIDEO_SUFFIXES
from dfer_model.errors import InputError

Pixels = npt.NDArray[np.uint8]
# For frames decoded from videos; at 95 the loss is below that of the video itself.
JPEG_QUALITY = 95
HEAD_BYTES = 1 << 17  # of a JPEG file, which contain its EXIF data
_OTHERS = (b"RIFF", b"BM", b"II*\0", b"MM\0*")
_OTHER_FORMATS = ("WEBP", "BMP", "TIFF")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Per frame; 8K video has 33 million. A file of 20 kB may claim 30,000 x 30,000.
MOST_PIXELS = 50_000_000


_TOO_LARGE = f"has more than {MOST_PIXELS // 10**6} million pixels"


def decode_pixels(encoded: bytes, room: Pixels | None = None) -> Pixels:
    """The uint8 RGB pixels (H, W, 3) of a JPEG or PNG file's bytes, rotated upright by its EXIF orientation.

    A JPEG of the size of `room` (H, W, 3) may be decoded into it; then `room` is returned. Raises InputError
    (a predicate without the file's name) if the bytes are neither, are cut off, or have more than 8 bits per
    channel or 50 million pixels.
    """
    pixels = _decode_whole_jpeg(encoded, room)
    return _decode_any(encoded) if pixels is None else pixels


def _decode_whole_jpeg(encoded: bytes, room: Pixels | None) -> Pixels | None:
    """The pixels decoded by libjpeg-turbo, or None if it reports any problem."""
    if not encoded.startswith(b"\xff\xd8"):
        return None
    if _is_turned(encoded):
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


def _is_turned(encoded: bytes) -> bool:
    """Whether a JPEG file is not upright by its EXIF data."""
    if encoded.find(b"Exif\0\0", 0, HEAD_BYTES) < 0:
        return False
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
            return orientation(image) != 1
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # decoding reports what is wrong


def orientation(image: Image.Image) -> int:
    """The image's EXIF orientation, 1 (upright) to 8; 1 if it has none or it cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def upright(image: Image.Image) -> Image.Image:
    """The image rotated and mirrored by its EXIF orientation."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def as_jpeg_or_png(encoded: bytes) -> bytes:
    """The bytes unchanged for a JPEG or PNG file; a WebP, BMP or TIFF image is converted to PNG.

    Other bytes are returned too: `decode_pixels` reports what is wrong with them. Raises InputError (a
    predicate without the file's name) for a WebP, BMP or TIFF file that is damaged, animated, or has more
    than 8 bits per channel.
    """
    if not encoded.startswith(_OTHERS):
        return encoded
    try:
        with warnings.catch_warnings(), open_image(io.BytesIO(encoded), _OTHER_FORMATS) as image:
            warnings.simplefilter("ignore")  # the error has the reason
            image.load()
            if getattr(image, "n_frames", 1) > 1:
                raise InputError("has more than one picture in it")
            if image.mode.startswith(("I", "F")):
                raise InputError("has more than 8 bits a channel")
            stream = io.BytesIO()
            upright(image).convert("RGB").save(stream, "PNG")
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError("is damaged or cut off") from error
    return stream.getvalue()


def _decode_any(encoded: bytes) -> Pixels:
    try:
        with open_image(io.BytesIO(encoded)) as image:
            image.load()
            too_deep = image.mode.startswith(("I", "F"))
            pixels = np.array(upright(image).convert("RGB"))
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
    """An image file, opened by Pillow and not yet decoded.

    Raises InputError (a predicate without the file's name) if it has more than 50 million pixels, and
    otherwise as `PIL.Image.open`.
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


def check_frame(encoded: bytes) -> None:
    """Raise InputError as `decode_pixels` does, for the same bytes and with the same message.

    A JPEG file is decoded in grey at an eighth of its size: all compressed data is read, so damage is found,
    but most of the arithmetic is skipped.
    """
    if not _reads_small(encoded):
        decode_pixels(encoded)


def _reads_small(encoded: bytes) -> bool:
    """Whether it is a JPEG file that decodes at reduced size; otherwise the full decoder decides."""
    try:
        with open_image(io.BytesIO(encoded), ("JPEG",)) as image:
            image.draft("L", (1, 1))
            image.load()
    except (OSError, SyntaxError, ValueError):  # InputError is a ValueError
        return False
    return True


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
