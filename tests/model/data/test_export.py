"""A clip exported as a video has the same frames."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dfer_model.data.packed_writer import write_packed
from dfer_model.data.summary import write_clip_video
from dfer_model.data.video import decode_video


def picture(shade: int) -> bytes:
    """A grey 33 x 40 PNG with a white upper half; odd, as video codecs do not like it."""
    pixels = np.full((33, 40, 3), shade, dtype=np.uint8)
    pixels[:16] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def test_frames_are_read_back_in_order_with_close_values(tmp_path: Path) -> None:
    shades = [10, 90, 170, 240]
    row = {
        "clip_id": "a",
        "class_name": "anger",
        "fold": 1,
        "source": "made",
        "frames": [picture(shade) for shade in shades],
    }
    clips = write_packed([row], ["anger"], tmp_path / "clips", {"dataset": "made"})
    path = write_clip_video(clips, 0, tmp_path / "clip.mp4")
    frames = list(decode_video(path))
    assert [frame.shape for frame in frames] == [(32, 40, 3)] * 4
    assert [abs(int(frame[28].mean()) - shade) < 6 for frame, shade in zip(frames, shades, strict=True)] == (
        [True] * 4
    )
    assert all(frame[4].mean() > 245 for frame in frames)
