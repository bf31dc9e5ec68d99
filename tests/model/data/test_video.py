"""Videos: the right frames of valid files, and an error for invalid ones."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from dfer_model.data.video import decode_video, read_sampled_frames
from dfer_model.errors import InputError

from .images import encoded, write_video


def write_sound(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_all_frames_in_order(tmp_path: Path) -> None:
    frames = list(decode_video(write_video(tmp_path / "clip.mp4", 30)))
    assert len(frames) == 30
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    levels = [float(frame.mean()) for frame in frames]
    assert np.allclose(levels, [40 + 2 * i for i in range(30)], atol=5)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_sampled_frames_are_those_of_a_test(tmp_path: Path, name: str) -> None:
    sampled = read_sampled_frames(write_video(tmp_path / name, 40), frames=4)
    assert sampled.indices == [5, 15, 25, 35]  # t = 10: 5 + 10 i
    assert (sampled.count, sampled.fps) == (40, 25.0)
    assert sampled.frames.shape == (4, 3, 48, 64)
    assert sampled.frames.dtype == torch.uint8
    levels = sampled.frames.float().mean((1, 2, 3))
    assert torch.allclose(levels, torch.tensor([50.0, 70.0, 90.0, 110.0]), atol=3)


def test_a_short_video_repeats_its_last_frame(tmp_path: Path) -> None:
    sampled = read_sampled_frames(write_video(tmp_path / "clip.mp4", 3), frames=5)
    assert sampled.indices == [0, 1, 2, 2, 2]
    assert torch.equal(sampled.frames[2], sampled.frames[4])


def test_a_rotated_video_is_turned_upright(tmp_path: Path) -> None:
    """The matrix of an MP4 track, (x, y) -> (-y, x): a quarter turn clockwise, the left side comes on top."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :32] = 200
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    assert struct.unpack_from(">2i", data, matrix) == (1 << 16, 0)
    struct.pack_into(">5i", data, matrix, 0, 1 << 16, 0, -(1 << 16), 0)
    path.write_bytes(data)
    (frame,) = decode_video(path)
    assert frame.shape == (64, 48, 3)
    assert frame[:28].mean() > 180
    assert frame[36:].mean() < 20


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("clip.mp4", b"", "is empty: zero bytes"),
        ("clip.mp4", b"hello, I am a text\n" * 99, "is not a video that can be read"),
        ("clip.txt", b"hello, I am a text\n" * 99, "is not a video that can be read"),
        ("clip.jpg", encoded(9), "is not a video that can be read"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:9/x.ts\n", "is not a video that can be read"),
        ("list.txt", b"ffconcat version 1.0\nfile /etc/passwd\n", "is not a video that can be read"),
    ],
)
def test_files_that_are_not_videos_are_refused(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=sentence) as caught:
        read_sampled_frames(tmp_path / name)
    assert name in str(caught.value)


def test_missing_file_folder_and_sound(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no video .*nothing\.mp4"):
        list(decode_video(tmp_path / "nothing.mp4"))
    with pytest.raises(InputError, match="is a folder, not a video"):
        list(decode_video(tmp_path))
    with pytest.raises(InputError, match="is not a video"):
        list(decode_video(write_sound(tmp_path / "sound.wav")))


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is cut off: the index at the end of an MP4"):
        read_sampled_frames(cut(write_video(tmp_path / "clip.mp4", 60), 0.5))


@pytest.mark.parametrize(("name", "options"), [("clip.mp4", {"movflags": "faststart"}), ("clip.mkv", {})])
def test_a_truncated_video_reports_the_position(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = cut(write_video(tmp_path / name, 60, **options), 0.7)
    given: list[np.ndarray] = []
    with pytest.raises(InputError, match=r"cut off or damaged after frame \d+ \(\d\.\d\d s\)") as caught:
        given.extend(decode_video(path))
    assert 0 < len(given) < 60
    assert f"after frame {len(given)} ({(len(given) - 1) / 25:.2f} s)" in str(caught.value)


def test_real_footage(test_data: Path) -> None:
    sampled = read_sampled_frames(test_data / "faces/single_face.mp4")
    assert sampled.frames.shape == (16, 3, 360, 640)
    assert (sampled.count, sampled.fps) == (72, 30.0)
    assert sampled.indices[:3] == [2, 6, 11]  # t = 4.5: 2.25, 6.75, 11.25


def test_real_footage_cut_in_half(test_data: Path, tmp_path: Path) -> None:
    data = (test_data / "faces/single_face.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"half\.mp4 is cut off"):
        read_sampled_frames(tmp_path / "half.mp4")
