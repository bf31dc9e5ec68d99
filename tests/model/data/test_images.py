"""Image decoding: pixels and errors are those of Pillow for every decoder."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from dfer_model.data.images import as_jpeg_or_png, check_frame, decode_pixels
from dfer_model.errors import InputError


def encoded(mode: str = "RGB", **options: Any) -> bytes:
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(0).integers(0, 256, (37, 51, bands), dtype=np.uint8)
    pixels = np.repeat(np.repeat(noise, 3, 0), 3, 1)
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(), mode=mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 95, "subsampling": 0}),
        ("RGB", {"quality": 75, "subsampling": 1}),
        ("RGB", {"quality": 30, "subsampling": 2}),
        ("RGB", {"progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_pixels_are_pillows(mode: str, options: dict[str, Any]) -> None:
    data = encoded(mode, **options)
    assert np.array_equal(decode_pixels(data), by_pillow(data))


def test_a_jpeg_is_decoded_into_a_buffer_of_its_size() -> None:
    data = encoded()
    room, other = np.zeros((111, 153, 3), np.uint8), np.zeros((153, 111, 3), np.uint8)
    assert decode_pixels(data, room) is room
    assert np.array_equal(room, by_pillow(data))
    assert np.array_equal(decode_pixels(data, other), by_pillow(data))
    assert not other.any()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(10_000, 5_001), (10_000, 10_000), (20_000, 10_000)])
def test_a_frame_of_too_many_pixels_is_not_decoded(form: str, size: tuple[int, int]) -> None:
    stream = io.BytesIO()
    Image.new("1" if form == "PNG" else "L", (8, 8)).save(stream, form)
    data = bytearray(stream.getvalue())
    if form == "PNG":  # width and height stand at the beginning of the header, which has a checksum
        data[16:24] = struct.pack(">II", *size)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", *reversed(size))
    for read in (decode_pixels, check_frame):
        with pytest.raises(InputError, match="has more than 50 million pixels"):
            read(bytes(data))


def test_damaged_files_give_the_verdict_of_pillow() -> None:
    data = encoded()
    rng = np.random.default_rng(1)
    cut = [data[: int(place)] for place in rng.integers(2, len(data) - 2, 40)]
    spoiled = [
        data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]
        for place in rng.integers(2, len(data) - 2, 80)
    ]
    verdicts = set()
    for damaged in [*cut, *spoiled]:
        try:
            expected = by_pillow(damaged)
        except (OSError, SyntaxError, ValueError):
            verdicts.add("refused")
            with pytest.raises(InputError):
                decode_pixels(damaged)
        else:
            verdicts.add("read")
            assert np.array_equal(decode_pixels(damaged), expected)
    assert verdicts == {"refused", "read"}


ARROW = np.zeros((24, 40, 3), np.uint8)
ARROW[:12, :20] = 220  # bright at the top left


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    stream = io.BytesIO()
    Image.fromarray(ARROW).save(stream, form, exif=exif, quality=95)
    with Image.open(stream) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    for room in (None, np.zeros_like(ARROW)):
        found = decode_pixels(stream.getvalue(), room)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= 2
    # Orientation 1: the first row is the picture's top; 6: the first column; 3: the last row.
    place = {
        1: (6, 10),
        2: (6, 30),
        3: (18, 30),
        4: (18, 10),
        5: (10, 6),
        6: (10, 18),
        7: (30, 18),
        8: (30, 6),
    }
    assert found[place[turn]].min() > 200


def test_unreadable_exif_data_are_ignored() -> None:
    stream = io.BytesIO()
    Image.fromarray(ARROW).save(stream, "JPEG", exif=b"Exif\0\0nonsense" * 3, quality=95)
    assert decode_pixels(stream.getvalue())[6, 10].min() > 200


@pytest.mark.parametrize(("form", "options"), [("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})])
def test_other_image_formats_become_png(form: str, options: dict[str, Any]) -> None:
    stream = io.BytesIO()
    Image.fromarray(ARROW).save(stream, form, **options)
    stored = as_jpeg_or_png(stream.getvalue())
    assert stored.startswith(b"\x89PNG")
    assert np.array_equal(decode_pixels(stored), ARROW)
    with pytest.raises(InputError, match="damaged or cut off"):
        as_jpeg_or_png(stream.getvalue()[: len(stream.getvalue()) // 2])
    jpeg = encoded()
    assert as_jpeg_or_png(jpeg) is jpeg
