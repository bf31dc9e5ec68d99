"""Where frames come from: a video file, a picture, or a folder of pictures; read as often as is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import ImageOps, UnidentifiedImageError

from dfer_model.data.annotations import VIDEO_SUFFIXES
from dfer_model.data.images import Pixels, decode_pixels, open_image
from dfer_model.data.layouts import frame_files, natural_key
from dfer_model.data.video import ASSUMED_RATE, TimedFrame, decode_timed, frame_rate
from dfer_model.errors import InputError

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
A_PICTURE = "is a picture, not a video: it is taken as one frame, and an expression has no time in it"
NO_RATE = "does not say how many frames it has a second: its times are of 25 a second"


@dataclass(frozen=True)
class Footage:
    """Frames that can be read again and again, one at a time.

    `name` is how the person calls it, `file` the file or folder it is in; `expected` the number of frames
    that it says it has, for a progress bar, 0 where it does not say.
    """

    name: Path
    file: Path
    frames: Callable[[], Iterator[TimedFrame]]
    rate: float
    expected: int
    notes: tuple[str, ...] = ()


def open_footage(file: Path, name: Path | None = None) -> Footage:
    """The frames of a video, of a picture (one, with a note), or of a folder of pictures in natural order.

    `name` is what to call it where that is not its file. Raises InputError when it is none of these; reading
    the frames raises as `decode_video` does.
    """
    name = name or file
    if file.is_dir():
        files = frame_files(file)
        if not files:
            raise InputError(f"{file} holds no .jpg, .jpeg or .png file")
        note = f"{name} {NO_RATE}"
        return Footage(name, file, lambda: _pictures(files), ASSUMED_RATE, len(files), (note,))
    if _is_picture(file):
        return Footage(name, file, lambda: _picture(file), ASSUMED_RATE, 1, (f"{name} {A_PICTURE}",))
    rate = frame_rate(file)
    notes = () if rate else (f"{name} {NO_RATE}",)
    return Footage(name, file, lambda: decode_timed(file), rate or ASSUMED_RATE, _expected(file), notes)


def videos_in(folder: Path) -> list[Path]:
    """The video files of a folder in natural order. Raises InputError when there is none."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.casefold() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise InputError(
            f"no video in the folder {folder}\nPictures in it that are one clip's faces go with --faces given"
        )
    return sorted(found, key=lambda path: natural_key(path.name))


def _is_picture(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(8).startswith(PICTURES)


def _picture(file: Path) -> Iterator[TimedFrame]:
    try:
        with open_image(file) as image:
            upright = ImageOps.exif_transpose(image)
            yield TimedFrame(0, 0.0, np.array(upright.convert("RGB")))
    except InputError as error:
        raise InputError(f"{file} {error}") from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{file} is damaged or cut off\nCopy or download it again") from error


def _pictures(files: Sequence[Path]) -> Iterator[TimedFrame]:
    for index, file in enumerate(files):
        try:
            pixels: Pixels = decode_pixels(file.read_bytes())
        except InputError as error:
            raise InputError(f"{file} {error}") from error
        yield TimedFrame(index, index / ASSUMED_RATE, pixels)


def _expected(file: Path) -> int:
    """How many frames a video says it has, or as many as its length and rate make."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        seconds = (container.duration or 0) / av.time_base
        return int(stream.frames or seconds * float(stream.average_rate or 0))
