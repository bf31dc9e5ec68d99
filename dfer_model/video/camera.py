"""Frames of a camera or stream in real time; frames that are not processed in time are dropped."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from dfer_model.data.images import Pixels
from dfer_model.data.video import ASSUMED_RATE, TimedFrame
from dfer_model.errors import InputError, WorkError

from .footage import Footage, open_footage

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
WAITING = 30  # queued frames; if there are more, the oldest is dropped
PATIENCE = 10.0  # seconds without a frame


@dataclass(frozen=True)
class Source:
    """An input: footage that can be read again if it is a file, or once if it is `live`."""

    footage: Footage
    live: bool


def open_source(given: str) -> Source:
    """Open a camera by number or device path, a stream by address, or a video file.

    Raises InputError if it does not exist or cannot be opened, and for a file as `open_footage` does. Reading
    a live source raises WorkError if no frame arrives for 10 seconds, or a camera is disconnected.
    """
    if given.isdecimal():
        return _live(int(given), f"camera {given}")
    if "://" in given:
        return _live(given, _shown(given))
    path = Path(given)
    if path.exists() and stat.S_ISCHR(path.stat().st_mode):
        return _live(given, given)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a camera\nGive a camera's number, an address or a video file"
        )
    return Source(open_footage(path), live=False)


def _shown(address: str) -> str:
    """The displayed name of a stream: its address without user, password and query.

    Raises InputError for another scheme.
    """
    parts = urlsplit(address)
    if parts.scheme.casefold() not in SCHEMES or not parts.hostname:
        raise InputError(
            f"--camera: the address is not of a supported scheme\nGive one of {', '.join(SCHEMES)}"
        )
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _live(place: int | str, name: str) -> Source:
    capture = _Capture(place, name)
    return Source(Footage(Path(name), Path(name), capture.frames, ASSUMED_RATE, 0), live=True)


class _Capture:
    """Reads in its own thread, so that frames that are not processed in time are dropped, not delayed."""

    def __init__(self, place: int | str, name: str) -> None:
        self.name, self.is_address = name, "://" in str(place)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors are reported by this module
        self._capture = cv2.VideoCapture(place)
        if not self._capture.isOpened():
            why = "no response" if self.is_address else "it does not exist or another program uses it"
            raise InputError(
                f"{name} cannot be opened: {why}\nGive a camera's number, an address or a video file"
            )
        self._waiting: deque[TimedFrame] = deque(maxlen=WAITING)
        self._news = threading.Condition()
        self._over = self._unwanted = False

    def frames(self) -> Iterator[TimedFrame]:
        """Frames with their seconds since the first one; `index` counts dropped frames too."""
        threading.Thread(target=self._read, name=self.name, daemon=True).start()
        count, seconds = 0, 0.0
        try:
            while (timed := self._next()) is not None:
                count, seconds = timed.index + 1, timed.seconds
                yield timed
        finally:
            self._unwanted = True
        if not count:
            raise InputError(f"{self.name} gives no frames\nIt may be in use, or send an unsupported format")
        if not self.is_address:
            raise WorkError(
                f"{self.name} stopped giving frames after {seconds:.1f} s\nCheck that it is connected"
            )

    def _next(self) -> TimedFrame | None:
        with self._news:
            if not self._news.wait_for(lambda: self._waiting or self._over, PATIENCE):
                raise WorkError(f"{self.name} has given no frame for {PATIENCE:.0f} seconds")
            return self._waiting.popleft() if self._waiting else None

    def _read(self) -> None:
        index, began, first_position = 0, 0.0, 0.0
        while not self._unwanted:
            success, picture = self._capture.read()
            if not success:
                break
            now = time.monotonic()
            if not index:
                began, first_position = now, self._position()
            seconds = now - began
            if self.is_address:  # a file behind an address is read faster than real time
                early = min(max(0.0, self._position() - first_position - seconds), PATIENCE / 2)
                time.sleep(early)
                seconds += early
            with self._news:
                self._waiting.append(TimedFrame(index, seconds, _rgb(picture)))
                self._news.notify()
            index += 1
        self._capture.release()
        with self._news:
            self._over = True
            self._news.notify()

    def _position(self) -> float:
        """The timestamp in seconds of the last frame of a stream."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000


def _rgb(picture: np.ndarray) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
