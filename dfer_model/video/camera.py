"""Pictures of a camera or of a stream as they come; those that cannot be kept up with are dropped."""

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
WAITING = 30  # pictures that wait to be looked at; of more, the oldest is dropped
PATIENCE = 10.0  # seconds without a picture


@dataclass(frozen=True)
class Source:
    """What stands before the lens: footage, of a file as often as is needed, else once and `live`."""

    footage: Footage
    live: bool


def open_source(given: str) -> Source:
    """A camera by its number or device path, a stream by its address, or a video file in their place.

    Raises InputError when there is none, or it cannot be opened, and for a file as `open_footage` does.
    Reading a live one raises WorkError when no picture comes for 10 seconds, and when a camera is gone.
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
    """What to call a stream: without the name and password that its address may have, nor a key after a `?`.

    Raises InputError for an address of another kind.
    """
    parts = urlsplit(address)
    if parts.scheme.casefold() not in SCHEMES or not parts.hostname:
        raise InputError(f"--camera: no stream begins like this\nGive an address of {', '.join(SCHEMES)}")
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _live(place: int | str, name: str) -> Source:
    capture = _Capture(place, name)
    return Source(Footage(Path(name), Path(name), capture.frames, ASSUMED_RATE, 0), live=True)


class _Capture:
    """Reads in a thread of its own, so that a picture that is not looked at in time is gone, not late."""

    def __init__(self, place: int | str, name: str) -> None:
        self.name, self.is_address = name, "://" in str(place)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said here, in a sentence
        self._capture = cv2.VideoCapture(place)
        if not self._capture.isOpened():
            why = "nothing answers there" if self.is_address else "there is none, or another program has it"
            raise InputError(
                f"{name} cannot be opened: {why}\nGive a camera's number, an address or a video file"
            )
        self._waiting: deque[TimedFrame] = deque(maxlen=WAITING)
        self._news = threading.Condition()
        self._over = self._unwanted = False

    def frames(self) -> Iterator[TimedFrame]:
        """Pictures with their seconds since the first one; `index` counts those that were dropped too."""
        threading.Thread(target=self._read, name=self.name, daemon=True).start()
        count, seconds = 0, 0.0
        try:
            while (timed := self._next()) is not None:
                count, seconds = timed.index + 1, timed.seconds
                yield timed
        finally:
            self._unwanted = True
        if not count:
            raise InputError(f"{self.name} gives no picture\nIt may be in use, or send what cannot be read")
        if not self.is_address:
            raise WorkError(
                f"{self.name} gives no more pictures after {seconds:.1f} s\nIs it still connected?"
            )

    def _next(self) -> TimedFrame | None:
        with self._news:
            if not self._news.wait_for(lambda: self._waiting or self._over, PATIENCE):
                raise WorkError(f"{self.name} has given no picture for {PATIENCE:.0f} seconds")
            return self._waiting.popleft() if self._waiting else None

    def _read(self) -> None:
        index, began, said = 0, 0.0, 0.0
        while not self._unwanted:
            there, picture = self._capture.read()
            if not there:
                break
            now = time.monotonic()
            if not index:
                began, said = now, self._said()
            seconds = now - began
            if self.is_address:  # a file behind an address comes faster than it plays
                early = min(max(0.0, self._said() - said - seconds), PATIENCE / 2)
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

    def _said(self) -> float:
        """The second that a stream gives its last picture."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000


def _rgb(picture: np.ndarray) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
