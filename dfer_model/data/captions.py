"""MAFW's captions: its with_caption lists have a Chinese and an English description of each clip.

They are written beside the packed clips as `captions.csv`, with the columns of the table that
`generate --per-clip` writes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_model.data.annotations import clip_parts, read_rows
from dfer_model.io import write_atomically

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips

FILE = "captions.csv"  # in the folder of the packed clips
COLUMNS = ("clip_id", "class_name", "fold", "source", "description")
LANGUAGES = ("Chinese", "English")  # of the third and fourth field of a row
DIGITS = 5  # of a clip's id in MAFW
_NO_CAPTION, _WITH_CAPTION = "no_caption", "with_caption"

Captions = Mapping[str, tuple[str, ...]]  # clip id -> a caption per language


def read_captions(dataset: str, label_files: Iterable[Path]) -> Captions:
    """The captions in MAFW's label files, and in the with_caption lists beside its no_caption lists.

    Empty for other datasets and without such lists; a clip of several lists has the caption of the first.
    Raises InputError for a list that is not text.
    """
    if not dataset.startswith("mafw"):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for path in dict.fromkeys(each for file in label_files for each in (file, _captioned(file))):
        for line, fields in read_rows(path, 2) if path.is_file() else ():
            if len(fields) == 2 + len(LANGUAGES):
                name = clip_parts(fields[0], f"{path}, line {line}")[-1]
                clip_id = name.zfill(DIGITS) if name.isascii() and name.isdigit() else name
                found.setdefault(clip_id, tuple(map(_printable, fields[2:])))
    return found


def write_captions(clips: PackedClips, captions: Captions) -> Path | None:
    """Write the captions of the packed clips beside them if they are not there, and return the file.

    None without captions, and for clips in a folder that is not writable. Raises OSError.
    """
    path = Path(clips.path) / FILE
    if path.is_file():
        return path
    rows = [
        (clip_id, clips.class_name_of(index), int(clips.folds[index]), f"MAFW captions, {language}", text)
        for index, clip_id in enumerate(clips.clip_ids)
        for language, text in zip(LANGUAGES, captions.get(clip_id, ()), strict=False)
        if text
    ]
    if not rows or not os.access(path.parent, os.W_OK):
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_atomically(path, text.getvalue())
    return path


def _captioned(path: Path) -> Path:
    """The with_caption list beside a no_caption list."""
    return Path(*(_WITH_CAPTION if part == _NO_CAPTION else part for part in path.parts))


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())
