"""The frame check agrees with full decoding, including the messages."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from dfer_model.data.images import check_frame, decode_pixels
from dfer_model.errors import InputError


def picture() -> Image.Image:
    rng = np.random.default_rng(1)
    levels = 128 + np.cumsum(rng.normal(0, 9, (40, 56, 3)), axis=1)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def encoded(mode: str, form: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture().convert(mode).save(stream, form, **options)
    return stream.getvalue()


def verdict(judge: Callable[[bytes], object], data: bytes) -> str:
    try:
        judge(data)
    except InputError as error:
        return str(error)
    return "whole"


def damaged(data: bytes) -> list[bytes]:
    """The file cut off at every tenth byte, with bytes changed, pieces lost, zeroed or an end put in."""
    rng = np.random.default_rng(2)
    cases = [data, data + b"more", *(data[:end] for end in range(0, len(data), 10))]
    for _ in range(150):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        start, end = sorted(rng.integers(0, len(data), 2))
        cases += [
            bytes(changed),
            data[:start] + data[end:],
            data[:start] + bytes(end - start) + data[end:],
            data[:start] + b"\xff\xd9" + data[start:],
        ]
    return cases


@pytest.mark.parametrize(
    "data",
    [
        encoded("RGB"),
        encoded("RGB", progressive=True),
        encoded("RGB", subsampling=0, restart_marker_blocks=2),
        encoded("L"),
        encoded("CMYK"),
        encoded("RGB", "PNG"),
    ],
    ids=["baseline", "progressive", "restarts", "grey", "CMYK", "PNG"],
)
def test_the_check_agrees_with_a_full_decoder(data: bytes) -> None:
    cases = damaged(data)
    verdicts = [verdict(decode_pixels, case) for case in cases]
    assert verdicts[0] == "whole"
    assert 50 < sum(each != "whole" for each in verdicts) < len(cases)
    assert [verdict(check_frame, case) for case in cases] == verdicts


@pytest.mark.parametrize("data", [b"", b"no picture", encoded("RGB", "BMP"), encoded("I;16", "PNG")])
def test_invalid_frames_give_the_error_of_the_full_decoder(data: bytes) -> None:
    outcome = verdict(decode_pixels, data)
    assert outcome != "whole"
    assert verdict(check_frame, data) == outcome
