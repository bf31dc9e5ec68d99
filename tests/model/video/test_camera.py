"""Cameras and streams: errors, and a stream read from a server of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dfer_model.errors import InputError
from dfer_model.video.camera import open_source

from ..evaluation.test_classify import encode


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word about it."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the files of `tmp_path` are served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_stream_is_read_as_it_plays(address: str, tmp_path: Path) -> None:
    encode(tmp_path / "video.mkv", frames=12, rate=20)
    source = open_source(f"http://someone:secret@{address}/video.mkv?key=secret")
    assert source.live
    assert source.footage.name == Path(f"{address}/video.mkv")
    frames = list(source.footage.frames())
    assert [timed.index for timed in frames] == list(range(12))
    seconds = [timed.seconds for timed in frames]
    assert all(time > 0.05 * index - 0.002 for index, time in enumerate(seconds))  # never before it plays
    assert np.abs(frames[11].pixels.astype(int) - 55).max() <= 1  # 5 times its number
    assert frames[11].pixels.shape == (40, 48, 3)


def test_late_frames_of_a_stream_are_dropped(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfer_model.video.camera.WAITING", 3)
    encode(tmp_path / "video.mkv", frames=40, rate=100)
    footage = open_source(f"http://{address}/video.mkv").footage
    frames = footage.frames()
    first = next(frames)
    (reading,) = (each for each in threading.enumerate() if each.name == str(footage.name))
    reading.join()
    assert first.index < 37
    assert [timed.index for timed in frames] == [37, 38, 39]


def test_a_stream_without_video_is_refused(address: str, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("nothing to see\n" * 99)
    with pytest.raises(InputError, match=rf"{address}/text.mkv (cannot be opened|gives no frames)"):
        list(open_source(f"http://{address}/text.mkv").footage.frames())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("99", "camera 99 cannot be opened: it does not exist or another program uses it\nGive"),
        ("/dev/null", "/dev/null cannot be opened: it does not exist or"),
        ("http://127.0.0.1:9/x?key=secret", "127.0.0.1:9/x cannot be opened: no response\n"),
        ("ftp://127.0.0.1/x", "the address is not of a supported scheme\nGive one of rtsp"),
        ("file:///etc/passwd", "the address is not of a supported scheme"),
        (".", "is a folder, not a camera"),
        ("absent.mp4", "no video absent.mp4"),
    ],
)
def test_a_missing_camera_is_an_error(given: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as refused:
        open_source(given)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_lost_camera_is_an_error_and_the_end_of_a_stream_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    from dfer_model.errors import WorkError

    video = str(encode(tmp_path / "video.mkv", frames=5))
    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda _place: opened(video))
    frames = open_source("0").footage.frames()
    with pytest.raises(
        WorkError, match=r"camera 0 stopped giving frames after 0\.\d s\nCheck that it is connected"
    ):
        assert [next(frames).index for _ in range(6)]
