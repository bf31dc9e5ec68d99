"""Decoding video files with PyAV, with clear messages for damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from dfer_model.data.images import Pixels, animation, animation_length, is_animated_webp
from dfer_model.data.matroska import find_damage
from dfer_model.data.sampling import sample_test_segments
from dfer_model.errors import InputError

# Formats of video files. Playlists (HLS, DASH, concat) are excluded, because they refer to other files or
# network addresses; so are text art and single images, which FFmpeg also reads as videos.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,ogg,gif,ivf,nut,mxf,dv,rm,m4v,h264,hevc,"
    "mpeg,mpegts,mpegvideo"
)
# A container has a duration; a video that ends before this share of it is truncated.
MISSING_SHARE = 0.05
MISSING_SECONDS = 0.1
# For a video without a frame rate.
ASSUMED_RATE = 25.0
# Elementary streams have no timestamps; FFmpeg invents some.
ELEMENTARY = ("h264", "hevc", "m4v", "mpegvideo")
# Transport and program streams, whose timestamps start at any value.
FREE_CLOCKS = ("mpegts", "mpeg")
MOST_ASPECT = 4  # width by height of a pixel, or the reverse; video standards have up to 2


@dataclass(frozen=True)
class SampledVideo:
    """The frames of a whole video that evaluation samples.

    `frames` is uint8 RGB (T, 3, H, W); `indices` their 0-based indices in the video's `count` frames;
    `seconds` their file times, None if the file has neither times nor a rate; `fps` the video's average
    frames per second, 0.0 if unknown.
    """

    frames: Tensor
    indices: list[int]
    seconds: list[float | None]
    count: int
    fps: float


@dataclass(frozen=True)
class TimedFrame:
    """A frame as uint8 RGB (H, W, 3), its 0-based index, and its file time in seconds."""

    index: int
    seconds: float
    pixels: Pixels


@dataclass(frozen=True)
class VideoFacts:
    """Properties of a video file: frames per second and number of frames, 0 if unknown.

    `origin` is the timestamp in seconds that counts as 0, see `decode_timed`.
    """

    rate: float
    frames: int
    origin: float


def decode_timed(path: Path) -> Iterator[TimedFrame]:
    """The frames of `decode_video` with their times in the file, always ascending.

    Times are the file's own timestamps, so the first frame may be later than 0. In transport and program
    streams (.ts, .mts, .vob, .mpg), whose clock starts at any value, they count from the file's first
    timestamp. A frame without a time, or with one that is not after the last, gets the last time plus a frame
    duration; without a frame rate, 25 frames per second. Raises as `decode_video`.
    """
    for index, (seconds, frame) in enumerate(_clocked(path)):
        yield TimedFrame(index, seconds, frame.pixels())


def frame_rate(path: Path) -> float:
    """Average frames per second, 0.0 if unknown. Raises as `decode_video`."""
    return video_facts(path).rate


def video_facts(path: Path) -> VideoFacts:
    """Frame rate and length of the file. Raises as `decode_video`."""
    path = Path(path)
    if is_animated_webp(path):
        count, lasts = animation_length(path)
        return VideoFacts(count / lasts if lasts else 0.0, count, 0.0)
    with open_container(path) as container:
        stream = _stream(container, path)
        rate = _rate(container, stream)
        seconds = (container.duration or 0) / av.time_base
        return VideoFacts(rate, int(stream.frames or seconds * rate), _origin(container))


def decode_video(path: Path) -> Iterator[Pixels]:
    """The frames of a video in order, as uint8 RGB (H, W, 3), upright, all of the first one's size.

    A video with non-square pixels is enlarged along one side. One frame is in memory at a time. Raises
    InputError if the file is missing, empty, not a video, has no frame, or is cut off or damaged; in the last
    case after yielding the frames before the damage.
    """
    for frame in _frames(path):
        yield frame.pixels()


def read_sampled_frames(path: Path, frames: int = 16, segments: int = 1) -> SampledVideo:
    """The `frames` frames of a video that evaluation samples (`sample_test_segments`), by segment.

    Raises as `decode_video`.

    The video is decoded twice, first to count its frames; storing all would take gigabytes per minute.
    """
    count = sum(1 for _ in _frames(path))
    indices = [index for sample in sample_test_segments(count, frames, segments) for index in sample]
    selected = set(indices)
    rate = frame_rate(path)
    taken: dict[int, tuple[float | None, Tensor]] = {}
    for index, (seconds, frame) in enumerate(_clocked(path)):
        if index in selected:
            time = None if frame.seconds is None and not rate else seconds
            taken[index] = time, torch.from_numpy(frame.pixels()).permute(2, 0, 1)
    pixels = torch.stack([taken[index][1] for index in indices])
    return SampledVideo(pixels, indices, [taken[index][0] for index in indices], count, rate)


@dataclass(frozen=True)
class _Frame:
    """A decoded frame, converted to pixels on demand; `seconds` is None if unknown."""

    seconds: float | None
    pixels: Callable[[], Pixels]


def _clocked(path: Path) -> Iterator[tuple[float, _Frame]]:
    """The frames with their file times, as `decode_timed`."""
    step = 1 / (frame_rate(path) or ASSUMED_RATE)
    last: float | None = None
    for frame in _frames(path):
        time = frame.seconds
        if time is None or (last is not None and time <= last):
            time = 0.0 if last is None else last + step
        last = time
        yield time, frame


def _rate(container: InputContainer, stream: VideoStream) -> float:
    if container.format.name in ELEMENTARY:  # their average rate is FFmpeg's assumption
        return float(stream.guessed_rate or 0)
    return float(stream.average_rate or stream.guessed_rate or 0)


def _origin(container: InputContainer) -> float:
    return (container.start_time or 0) / av.time_base if container.format.name in FREE_CLOCKS else 0.0


def _display_size(frame: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height with square pixels; `aspect` is a pixel's width by its height."""
    if not aspect or not 1 / MOST_ASPECT <= aspect <= MOST_ASPECT:
        return frame.width, frame.height
    if aspect > 1:
        return round(frame.width * aspect), frame.height
    return frame.width, round(frame.height / aspect)


def _pixels(frame: VideoFrame, size: tuple[int, int]) -> Pixels:
    """RGB pixels at `size`, rotated and mirrored by the file's display matrix."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24", width=size[0], height=size[1]), np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return pixels
    return np.ascontiguousarray(_displayed(pixels, bytes(matrix)))


def _displayed(pixels: Pixels, matrix: bytes) -> Pixels:
    """The pixels transformed by a display matrix, to the nearest quarter turn.

    The matrix takes (x, y) to (a x + c y, b x + d y), y downwards.
    """
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        columns, rows = a, d
    else:
        pixels, columns, rows = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1]


def local_address(path: Path) -> str:
    """A URL that FFmpeg reads as a file for any name; in "12:30.mp4" it would take "12" for a protocol."""
    return f"file:{path}"


def open_container(path: Path) -> InputContainer:
    """The file, opened by FFmpeg as a local video file. Raises InputError if it is not one."""
    if not path.exists():
        raise InputError(f"no video {path}")
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a video")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: zero bytes")
    try:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        container: InputContainer = av.open(local_address(path), options=options)
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
    """The file's default video stream, else its first; cover images of songs do not count."""
    kinds = av.stream.Disposition
    streams = [s for s in container.streams.video if not s.disposition & kinds.attached_pic]
    if not streams:
        raise InputError(f"{path} has no video stream")
    return next((s for s in streams if s.disposition & kinds.default), streams[0])


def _frames(path: Path) -> Iterator[_Frame]:
    """The decoded frames of the file. Raises as `decode_video`."""
    path = Path(path)
    if is_animated_webp(path):
        for seconds, pixels in animation(path):
            yield _Frame(seconds, partial(np.copy, pixels))
        return
    with open_container(path) as container:
        stream = _stream(container, path)
        state = _Progress(path, container, stream)
        decoded = _demuxed(container, stream, state)
        size: tuple[int, int] | None = None
        try:
            for frame in decoded:
                if size is None:
                    size = _display_size(frame, stream.sample_aspect_ratio)
                yield state.count_in(frame, _rate(container, stream), size)
        except av.FFmpegError as error:
            raise state.broken() from error
        if state.is_broken:
            raise state.broken()
        if state.count == 0:
            raise InputError(f"{path} has no frame that can be decoded")


class _Progress:
    """The position in a file, and checks for damage."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self.path, self.container, self.time_base = path, container, stream.time_base or Fraction(0)
        self.is_matroska = "matroska" in container.format.name
        self.damage = find_damage(path) if self.is_matroska else None  # offset in bytes
        self.origin, self.is_elementary = _origin(container), container.format.name in ELEMENTARY
        self.count, self.seconds, self.end = 0, 0.0, 0.0
        self.last_is_partial = self.has_hole = False

    def count_in(self, frame: VideoFrame, rate: float, size: tuple[int, int]) -> _Frame:
        """The next frame, with its file time; an elementary stream has times by its rate only."""
        if self.is_elementary:
            seconds = self.count / rate if rate else None
        else:
            seconds = None if frame.pts is None else float(frame.pts * self.time_base) - self.origin
        self.count, self.seconds = self.count + 1, self.seconds if seconds is None else seconds
        return _Frame(seconds, partial(_pixels, frame, size))

    def note(self, packet: av.Packet) -> None:
        """Record the end of a packet of any stream, and whether it is after the file's damage."""
        if packet.pts is not None and packet.time_base is not None:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if self.damage is not None and packet.pos is not None and packet.pos >= self.damage:
            self.has_hole = True

    @property
    def is_broken(self) -> bool:
        """Whether part of the file was missing, after all was read."""
        lost = self.damage is not None and self.damage >= self.path.stat().st_size
        return self.last_is_partial or self.has_hole or lost or bool(self.count and self._ends_early())

    def _ends_early(self) -> bool:
        duration = (self.container.duration or 0) / av.time_base
        start = (self.container.start_time or 0) / av.time_base
        if duration <= 0:
            return False
        # For a part of a longer recording, Matroska's duration may be its end time.
        is_end = self.is_matroska and start > 0 and self.end <= duration + MISSING_SECONDS
        missing = duration - (self.end if is_end else self.end - start)
        return missing > max(MISSING_SECONDS, MISSING_SHARE * (duration - start if is_end else duration))

    def broken(self) -> InputError:
        """The error to raise, with the position of the last frame."""
        where = f"after frame {self.count} ({self.seconds:.2f} s)" if self.count else "before its first frame"
        return InputError(
            f"{self.path} is cut off or damaged {where}\nCopy or download it again, or cut the video there"
        )


def _demuxed(container: InputContainer, stream: VideoStream, state: _Progress) -> Iterator[VideoFrame]:
    """The frames up to a gap in the file; `state` records the packets."""
    # All streams are read: audio may be longer than video, and both end early in a truncated file.
    for packet in container.demux():
        state.note(packet)
        if state.has_hole:
            yield from stream.decode(None)
            return
        if packet.stream.index != stream.index:
            continue
        if packet.size:
            state.last_is_partial = packet.is_corrupt
        yield from stream.decode(packet)
