"""Small images for tests."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image


def encoded(level: int, form: str = "JPEG", size: tuple[int, int] = (16, 12)) -> bytes:
    """A grey image file whose level can be read off it."""
    stream = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(stream, form)
    return stream.getvalue()


def write_clip(folder: Path, frames: int, names: str = "{}.jpg", first: int = 1) -> Path:
    """A folder of `frames` frames, frame i having level 5 * i."""
    folder.mkdir(parents=True)
    for frame in range(frames):
        (folder / names.format(frame + first)).write_bytes(encoded(5 * frame))
    return folder


def write_video(path: Path, frames: int, codec: str = "mpeg4", **options: str) -> Path:
    """A video whose frame i has grey level 40 + 2 * i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in range(frames):
            pixels = np.full((48, 64, 3), 40 + 2 * frame, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path
