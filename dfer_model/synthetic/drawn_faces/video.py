"""A clip of a drawn face as a video file that browsers play."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from dfer_model.io import replacing

from .dataset import DrawnClip, clip_track, person
from .face import render

SIZE, RATE, STEP = 128, 12, 2  # pixels, frames per second, and every second frame of a 25 frames/s track


def write_drawn_video(path: Path, class_name: str, number: int, seed: int = 1) -> Path:
    """Draw person `number` of `seed` with the expression of a class, as WebM (VP8), and return `path`."""
    clip = DrawnClip(f"drawn-{number}", number, class_name, number, 1)
    who, track = person(seed, number), clip_track(clip, seed)
    noise = np.random.default_rng((seed, 3, number))
    with replacing(path) as temporary, av.open(f"file:{temporary}", mode="w", format="webm") as container:
        stream = container.add_stream("vp8", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = SIZE, SIZE, "yuv420p", 600_000
        for units, view in zip(track.units[::STEP], track.views[::STEP], strict=True):
            frame = render(who, units, view, SIZE, noise)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path
