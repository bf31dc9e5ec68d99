"""Unusual videos: pixel aspect, rotation, timestamps, gaps, raw streams."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dfer_model.data.images import Pixels
from dfer_model.data.video import decode_timed, decode_video, frame_rate, read_sampled_frames, video_facts
from dfer_model.errors import InputError
from dfer_model.video.footage import open_footage

from .images import write_video

TICK = Fraction(1, 1000)


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Pixels:
    return np.full((size[1], size[0], 3), level, np.uint8)


def write(
    path: Path,
    frames: list[Pixels],
    *,
    seconds: list[float] | None = None,
    rate: int | Fraction = 25,
    codec: str = "mpeg4",
    container: str | None = None,
    aspect: Fraction | None = None,
    keys: int = 12,
    pixel_format: str = "yuv420p",
) -> Path:
    """A video of the frames, at `seconds` where they are given."""
    with av.open(f"file:{path}", "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixel_format
        stream.codec_context.gop_size = keys
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if seconds:
            stream.codec_context.time_base = TICK
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if seconds:
                frame.pts, frame.time_base = round(seconds[index] / TICK), TICK
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def disc(width: int, height: int) -> Pixels:
    """A white ellipse that fills the middle half of a dark frame."""
    y, x = np.mgrid[:height, :width]
    inside = (4 * (x - width / 2 + 0.5) / width) ** 2 + (4 * (y - height / 2 + 0.5) / height) ** 2 <= 1
    return np.repeat(np.where(inside, 235, 20).astype(np.uint8)[..., None], 3, axis=2)


def span(pixels: Pixels, axis: int) -> int:
    return int((pixels[..., 0] > 128).any(axis=axis).sum())


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.mpg"])
@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [
        ((64, 96), Fraction(2), (128, 96)),
        ((128, 72), Fraction(3, 4), (128, 96)),
        ((128, 96), None, (128, 96)),
    ],
)
def test_pixels_that_are_not_square(
    tmp_path: Path, name: str, stored: tuple[int, int], aspect: Fraction, shown: tuple[int, int]
) -> None:
    codec = {"ts": "libx264", "mpg": "mpeg2video"}.get(name[-3:].strip("."), "mpeg4")
    path = write(tmp_path / name, [disc(*stored)] * 9, aspect=aspect, codec=codec)
    frame = next(decode_video(path))
    assert frame.shape == (shown[1], shown[0], 3)
    # An ellipse that fills half of the stored width fills half of the width that is shown.
    assert (span(frame, 0), span(frame, 1)) == pytest.approx((shown[0] / 2, shown[1] / 2), abs=3)
    assert read_sampled_frames(path, 2).frames.shape == (2, 3, shown[1], shown[0])


def test_an_implausible_pixel_aspect_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", [grey(90)] * 2, aspect=Fraction(100))
    assert next(decode_video(path)).shape == (48, 64, 3)


CORNERS = np.array([[10, 80], [150, 220]], np.uint8)  # top left, top right; bottom left, bottom right


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), CORNERS),
        ((-1, 0, 0, 1), CORNERS[:, ::-1]),  # mirrored
        ((1, 0, 0, -1), CORNERS[::-1]),  # mirrored from top to bottom
        ((-1, 0, 0, -1), CORNERS[::-1, ::-1]),  # half a turn
        ((0, 1, -1, 0), np.rot90(CORNERS, -1)),  # a quarter turn clockwise
        ((0, -1, 1, 0), np.rot90(CORNERS)),
        ((0, 1, 1, 0), CORNERS.T),  # transposed
        ((0, -1, -1, 0), CORNERS[::-1, ::-1].T),
        ((0.98, 0.17, -0.17, 0.98), CORNERS),  # 10 degrees: the nearest quarter turn is none
    ],
)
def test_every_display_matrix(tmp_path: Path, matrix: tuple[float, ...], expected: np.ndarray) -> None:
    """A display matrix (a, b, c, d) takes (x, y) to (a x + c y, b x + d y)."""
    pixels = np.repeat(CORNERS.repeat(24, 0).repeat(32, 1)[..., None], 3, axis=2)
    path = write(tmp_path / "clip.mp4", [pixels])
    data = bytearray(path.read_bytes())
    a, b, c, d = (round(value * (1 << 16)) for value in matrix)
    struct.pack_into(">5i", data, data.index(b"tkhd") + 44, a, b, 0, c, d)
    path.write_bytes(data)
    (frame,) = decode_video(path)
    height, width = frame.shape[:2]
    assert (width > height) == (abs(matrix[0]) > abs(matrix[1]))
    found = frame[[[height // 4], [3 * height // 4]], [width // 4, 3 * width // 4], 0]
    assert found == pytest.approx(expected, abs=6)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
def test_times_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    seconds = [0.852, 0.892, 0.932, 1.2]
    path = write(tmp_path / name, [grey(level) for level in (40, 80, 120, 160)], seconds=seconds)
    assert [timed.seconds for timed in decode_timed(path)] == pytest.approx(seconds, abs=0.001)
    assert read_sampled_frames(path, 4).seconds == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("name", ["clip.ts", "clip.mpg"])
def test_timestamps_are_relative_to_the_first_frame(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, noise(4), seconds=[300, 300.04, 300.08, 300.12], codec="libx264")
    assert video_facts(path).origin > 300 - 0.001
    assert [timed.seconds for timed in decode_timed(path)] == pytest.approx([0, 0.04, 0.08, 0.12], abs=0.001)


def noise(count: int) -> list[Pixels]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("start", [2.0, 300.0])
def test_a_segment_of_a_recording_is_complete(tmp_path: Path, start: float) -> None:
    path = write(tmp_path / "piece.mkv", noise(40), seconds=[start + 0.04 * index for index in range(40)])
    assert next(decode_timed(path)).seconds == pytest.approx(start, abs=0.001)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut off or damaged after frame"):
        list(decode_video(path))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("how", ["lost", "zeros"])
def test_a_gap_in_a_matroska_file_is_refused(tmp_path: Path, share: float, how: str) -> None:
    path = write(tmp_path / "clip.mkv", noise(60), keys=6)
    means = [float(frame.mean()) for frame in decode_video(path)]
    data = path.read_bytes()
    first, last = int(share * len(data)), int((share + 0.1) * len(data))
    path.write_bytes(data[:first] + bytes(last - first if how == "zeros" else 0) + data[last:])
    before: list[float] = []
    with pytest.raises(InputError, match=r"cut off or damaged after frame \d+ \(\d\.\d\d s\)"):
        before.extend(float(frame.mean()) for frame in decode_video(path))
    assert 60 * share - 10 < len(before) < 60 * share + 5
    assert before[:-2] == means[: len(before) - 2]


def test_matroska_files_without_sizes_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    with path.open("wb") as stream, av.open(_Pipe(stream), "w", format="matroska") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for pixels in noise(30):
            out.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(video.encode())
    assert b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" in path.read_bytes()
    assert len(list(decode_video(path))) == 30


class _Pipe:
    """A file that can only be written on."""

    def __init__(self, stream) -> None:
        self.write = stream.write


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("12:30:05.mp4"), [grey(90)] * 3)
    assert len(list(decode_video(path))) == 3
    assert open_footage(path).expected == 3


@pytest.mark.parametrize(("suffix", "codec"), [("h264", "libx264"), ("m2v", "mpeg2video"), ("m4v", "mpeg4")])
def test_a_raw_stream_has_the_rate_of_its_header(tmp_path: Path, suffix: str, codec: str) -> None:
    rate = Fraction(30000, 1001)
    container = {"m2v": "mpeg2video"}.get(suffix, suffix)
    path = write(tmp_path / f"clip.{suffix}", noise(7), codec=codec, container=container, rate=rate)
    assert frame_rate(path) == pytest.approx(29.97, abs=0.001)
    times = [timed.seconds for timed in decode_timed(path)]
    assert times == pytest.approx([index / float(rate) for index in range(7)])


@pytest.mark.parametrize("name", ["clip.ogv", "clip.ivf"])
def test_a_rate_that_follows_from_the_times_needs_no_note(tmp_path: Path, name: str) -> None:
    container = "ogg" if name == "clip.ogv" else "ivf"
    path = write(tmp_path / name, [grey(90)] * 5, codec="libvpx", container=container, rate=10)
    footage = open_footage(path)
    assert footage.notes == ()
    assert footage.rate == 10
    assert [timed.seconds for timed in footage.frames()] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_the_default_stream_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=25) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = av.stream.Disposition.default if number else av.stream.Disposition(0)
        for stream, level in zip(streams, (40, 200), strict=True):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey(level), format="rgb24")))
        for stream in streams:
            out.mux(stream.encode())
    (frame,) = decode_video(path)
    assert frame.mean() == pytest.approx(200, abs=4)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        *((f"clip.{suffix}", "mpeg2video", "yuv420p") for suffix in ("ts", "mts", "m2ts", "vob", "mxf")),
        ("clip.3gp", "mpeg4", "yuv420p"),
        ("clip.gif", "gif", "rgb8"),
    ],
)
def test_other_containers(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    container = "mpegts" if name.endswith("ts") else None
    frames = [
        np.clip(pixels // 4 + level, 0, 255)
        for pixels, level in zip(noise(4), (0, 60, 120, 180), strict=True)
    ]
    path = write(tmp_path / name, frames, codec=codec, container=container, pixel_format=pixel_format)
    levels = [frame.mean() for frame in decode_video(path)]
    assert levels == pytest.approx([frame.mean() for frame in frames], abs=20)


def test_an_animated_webp(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey(level)) for level in (40, 90, 140, 190)]
    path = tmp_path / "clip.webp"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=[100, 300, 100, 100], lossless=True
    )
    timed = list(decode_timed(path))
    assert [each.seconds for each in timed] == pytest.approx([0, 0.1, 0.4, 0.5])
    assert [float(each.pixels.mean()) for each in timed] == [40, 90, 140, 190]
    assert (open_footage(path).expected, frame_rate(path)) == (4, pytest.approx(4 / 0.6))
    sampled = read_sampled_frames(path, 2)
    assert (sampled.indices, sampled.seconds) == ([1, 3], pytest.approx([0.1, 0.5]))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"clip\.webp"):
        list(decode_video(path))


def test_a_complete_video_is_accepted(tmp_path: Path) -> None:
    assert [len(list(decode_video(write_video(tmp_path / name, 9)))) for name in ("a.mkv", "a.webm.mkv")] == [
        9,
        9,
    ]
