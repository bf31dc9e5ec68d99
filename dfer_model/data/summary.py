"""Summary of packed clips (classes by folds, lengths), and export of a clip as a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import InputError
from ..io import replacing
from .images import decode_pixels
from .packed import PackedClips

SHORT = 16


def info(clips: PackedClips) -> dict[str, Any]:
    """The numbers of clips by class and fold, and of frames, as plain values for a table or JSON.

    `folds` of a class is fold -> test clips of that fold; fold 0 is never tested. `frames.short` counts the
    clips under 16 frames, whose last frame is repeated when 16 are sampled.
    """
    folds = [int(fold) for fold in np.unique(clips.folds)]
    report = clips.report
    disagreements = report.get("frame_count_disagreements") or {}
    return {
        "dataset": clips.name,
        "path": str(clips.path),
        "clips": len(clips),
        "classes": [
            {
                "class_name": name,
                "clips": int((clips.labels == label).sum()),
                "folds": {
                    str(fold): int(((clips.labels == label) & (clips.folds == fold)).sum()) for fold in folds
                },
            }
            for label, name in enumerate(clips.class_names)
        ],
        "folds": folds,
        "frames": {
            "total": int(clips.num_frames.sum()),
            "min": int(clips.num_frames.min()),
            "median": float(np.median(clips.num_frames)),
            "max": int(clips.num_frames.max()),
            "short": int((clips.num_frames < SHORT).sum()),
        },
        "skipped": len(report.get("skipped") or []),
        "no_face": len(report.get("no_face") or []),
        "frame_count_disagreements": int(disagreements.get("count", 0)),
        "notes": list(report.get("notes") or []),
        "fingerprint": clips.fingerprint,
    }


def write_clip_video(clips: PackedClips, index: int, path: Path, *, frame_rate: int = 25) -> Path:
    """Write clip `index`, all its frames, as an MP4 (MPEG-4 part 2, near lossless) and return `path`.

    MPEG-4 part 2 because every build of FFmpeg encodes it. Raises OSError if the file cannot be written,
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
