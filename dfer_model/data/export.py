"""A packed clip as a video file that any player shows."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from ..errors import InputError
from ..files import replacing
from .images import decode_pixels
from .packed import PackedClips


def write_clip_video(clips: PackedClips, index: int, path: Path, *, frame_rate: int = 25) -> Path:
    """Write clip `index`, all its frames, as an MP4 (MPEG-4 part 2, near lossless) and return `path`.

    MPEG-4 part 2 because every build of FFmpeg encodes it. Raises OSError where the file cannot be written,
    InputError for a frame that cannot be read.
    """
    encoded = clips.encoded_frames(index, range(int(clips.num_frames[index])))
    try:
        frames = [decode_pixels(each) for each in encoded]
    except InputError as error:
        raise InputError(f"a frame of clip {clips.clip_ids[index]} in {clips.path} {error}") from error
    with replacing(path) as temporary, av.open(f"file:{temporary}", mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=frame_rate)
        # The codec's chroma planes have half the size: an odd edge is cut off.
        stream.height, stream.width = (edge // 2 * 2 for edge in frames[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        for pixels in frames:
            cut = np.ascontiguousarray(pixels[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
        container.mux(stream.encode())
    return path
