"""Video files as frames, through PyAV; what is wrong with a file is said in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from dfer_model.data.images import Pixels
from dfer_model.data.sampling import sample_test_segments
from dfer_model.errors import InputError

# What holds video. A playlist (HLS, DASH, concat) is not here: it is a text that names other places to read,
# on this machine or on the network; nor are text art and single pictures, which FFmpeg calls videos too.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,ogg,gif,ivf,nut,mxf,dv,rm,m4v,h264,hevc,"
    "mpeg,mpegts,mpegvideo"
)
# A container says how long it is; one that ends earlier than this share of it was cut off.
MISSING_SHARE = 0.05
MISSING_SECONDS = 0.1
# Of a video that does not say how fast it is.
ASSUMED_RATE = 25.0


@dataclass(frozen=True)
class SampledVideo:
    """The frames of a whole video that a test would take.

    `frames` is uint8 RGB (T, 3, H, W); `indices` their 0-based places among the video's `count` frames; `fps`
    the video's own average frames per second, 0.0 where it does not say.
    """

    frames: Tensor
    indices: list[int]
    count: int
    fps: float


@dataclass(frozen=True)
class TimedFrame:
    """A frame as uint8 RGB (H, W, 3), its 0-based place, and its seconds since the first frame."""

    index: int
    seconds: float
    pixels: Pixels


def decode_timed(path: Path) -> Iterator[TimedFrame]:
    """The frames of `decode_video` with the times that the file gives them, always ascending.

    A frame without a time, or with one that is not after the last, comes a usual frame's length after it; at
    25 a second where the file does not say how fast it is. Raises as `decode_video`.
    """
    step = 1 / (frame_rate(path) or ASSUMED_RATE)
    size: tuple[int, int] | None = None
    first, last = 0.0, -step
    for index, frame in enumerate(_frames(path)):
        size = size or (frame.width, frame.height)
        if index == 0:
            first = frame.time or 0.0
        said = last if frame.time is None else frame.time - first
        last = said if said > last else last + step
        yield TimedFrame(index, last, _pixels(frame, size))


def frame_rate(path: Path) -> float:
    """Average frames a second as the file has it, 0.0 where it does not say. Raises as `decode_video`."""
    with _open(Path(path)) as container:
        return float(_stream(container, path).average_rate or 0)


def decode_video(path: Path) -> Iterator[Pixels]:
    """The frames of a video in order, as uint8 RGB (H, W, 3), upright, all of the first one's size.

    One frame is held at a time. Raises InputError when the file is missing, empty, no video, has no frame, or
    is cut off or damaged; in the last case after the frames before the damage were given.
    """
    size: tuple[int, int] | None = None
    for frame in _frames(path):
        size = size or (frame.width, frame.height)
        yield _pixels(frame, size)


def read_sampled_frames(path: Path, frames: int = 16, segments: int = 1) -> SampledVideo:
    """The `frames` frames of a video that a test takes (`sample_test_segments`), a segment after the other.

    Raises as `decode_video`.

    The video is decoded twice, once to count: how many frames decode is known only then, and holding all of
    them would take gigabytes a minute.
    """
    count = sum(1 for _ in _frames(path))
    indices = [index for sample in sample_test_segments(count, frames, segments) for index in sample]
    wanted = set(indices)
    size: tuple[int, int] | None = None
    taken: dict[int, Tensor] = {}
    for index, frame in enumerate(_frames(path)):
        size = size or (frame.width, frame.height)
        if index in wanted:
            taken[index] = torch.from_numpy(_pixels(frame, size)).permute(2, 0, 1)
    return SampledVideo(torch.stack([taken[i] for i in indices]), indices, count, frame_rate(path))


def _pixels(frame: VideoFrame, size: tuple[int, int]) -> Pixels:
    """RGB pixels at `size`, turned upright as the file says (a telephone films sideways)."""
    pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90)))


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise InputError(f"no video {path}")
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a video")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: zero bytes")
    try:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        container: InputContainer = av.open(str(path), options=options)
    except av.FFmpegError as error:
        with path.open("rb") as stream:
            is_mp4 = stream.read(12)[4:8] == b"ftyp"
        if is_mp4:
            raise InputError(
                f"{path} is cut off: the index at the end of an MP4 file is missing, so it cannot be read\n"
                "Copy or download it again"
            ) from error
        raise InputError(f"{path} is not a video that can be read") from error
    return container


def _stream(container: InputContainer, path: Path) -> VideoStream:
    """The first moving picture of the file; the cover picture of a song is none."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path} has no moving picture in it")
    return streams[0]


def _frames(path: Path) -> Iterator[VideoFrame]:
    """The decoded frames of the file. Raises InputError as `decode_video` says."""
    with _open(Path(path)) as container:
        stream = _stream(container, path)
        count, seconds, end = 0, 0.0, 0.0
        last_is_partial = False
        try:
            # Every stream is read: sound may go on for longer than pictures, and both end in a cut file.
            for packet in container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                if packet.size:
                    last_is_partial = packet.is_corrupt
                for frame in stream.decode(packet):
                    yield frame
                    count, seconds = count + 1, frame.time or seconds
        except av.FFmpegError as error:
            raise _broken(path, count, seconds) from error
        if last_is_partial or (count and _ends_early(container, end)):
            raise _broken(path, count, seconds)
        if count == 0:
            raise InputError(f"{path} has no frame that can be decoded")


def _ends_early(container: InputContainer, end: float) -> bool:
    if not container.duration:
        return False
    duration = container.duration / av.time_base
    lasted = end - (container.start_time or 0) / av.time_base
    return duration - lasted > max(MISSING_SECONDS, MISSING_SHARE * duration)


def _broken(path: Path, count: int, seconds: float) -> InputError:
    where = f"after frame {count} ({seconds:.2f} s)" if count else "before its first frame"
    return InputError(
        f"{path} is cut off or damaged {where}\nCopy or download it again, or cut the video there"
    )
