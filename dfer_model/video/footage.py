"""Sources of frames that can be read repeatedly: a video file, an image, or a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from dfer_model.data.animation import is_animated_webp, is_video_name
from dfer_model.data.images import Pixels, as_jpeg_or_png, decode_pixels, open_image, upright
from dfer_model.data.layouts import frame_files, in_words, natural_key, other_files
from dfer_model.data.video import ASSUMED_RATE, TimedFrame, decode_timed, video_facts
from dfer_model.errors import InputError

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
A_PICTURE = "is an image, not a video: it is used as a single frame, without motion"
NO_RATE = "has no frame rate: 25 frames per second are assumed"


@dataclass(frozen=True)
class Footage:
    """Frames that can be read repeatedly, one at a time.

    `name` is the displayed name, `file` the file or folder; `expected` the declared number of frames, for a
    progress bar, 0 if unknown. `origin` is the timestamp in seconds of the file that counts as second 0.
    """

    name: Path
    file: Path
    frames: Callable[[], Iterator[TimedFrame]]
    rate: float
    expected: int
    notes: tuple[str, ...] = ()
    origin: float = 0.0


def open_footage(file: Path, name: Path | None = None) -> Footage:
    """The frames of a video, of an image (one, with a note), or of a folder of images in natural order.

    `name` is the displayed name, by default the file. Raises InputError if it is none of these; reading
    the frames raises as `decode_video` does.
    """
    name = name or file
    if file.is_dir():
        files = frame_files(file)
        if not files:
            raise InputError(f"{file} has no images (.jpg, .png, .webp, .bmp or .tif)")
        note = f"{name} {NO_RATE}"
        return Footage(name, file, lambda: _pictures(files), ASSUMED_RATE, len(files), (note,))
    if _is_picture(file):
        return Footage(name, file, lambda: _picture(file), ASSUMED_RATE, 1, (f"{name} {A_PICTURE}",))
    facts = video_facts(file)
    notes = () if facts.rate else (f"{name} {NO_RATE}",)
    return Footage(
        name, file, lambda: decode_timed(file), facts.rate or ASSUMED_RATE, facts.frames, notes, facts.origin
    )


def videos_in(folder: Path) -> list[Path]:
    """The video files of a folder in natural order. Raises InputError if there are none."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and _is_video(path)]
    if not found:
        raise InputError(
            f"no video in the folder {folder}\n"
            "For a folder of images that are the faces of one clip, use --faces given"
        )
    return sorted(found, key=lambda path: natural_key(path.name))


def left_out(folder: Path) -> str | None:
    """A note that counts and names the files that `videos_in` skips, None if there are none."""
    others = other_files(folder, _is_video)
    if not others:
        return None
    return f"skipped in {folder}, {len(others)} files without the name of a video: {in_words(others, folder)}"


def _is_video(path: Path) -> bool:
    return path.is_file() and is_video_name(path)


def _is_picture(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        head = stream.read(12)
    is_webp = head[:4] + head[8:] == b"RIFFWEBP" and not is_animated_webp(file)
    return head.startswith(PICTURES) or is_webp


def _picture(file: Path) -> Iterator[TimedFrame]:
    try:
        with open_image(file, ("JPEG", "PNG", "WEBP")) as image:
            pixels = np.array(upright(image).convert("RGB"))
    except InputError as error:
        raise InputError(f"{file} {error}") from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{file} is damaged or truncated\nCopy or download it again") from error
    yield TimedFrame(0, 0.0, pixels)


def _pictures(files: Sequence[Path]) -> Iterator[TimedFrame]:
    for index, file in enumerate(files):
        try:
            pixels: Pixels = decode_pixels(as_jpeg_or_png(file.read_bytes()))
        except InputError as error:
            raise InputError(f"{file} {error}") from error
        yield TimedFrame(index, index / ASSUMED_RATE, pixels)
