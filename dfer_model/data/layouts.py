"""Datasets as they lie on the disk: where their label files and clips are, under the names they go by."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_model.data.animation import is_animated_webp
from dfer_model.data.annotations import (
    VIDEO_SUFFIXES,
    LabelFile,
    Labelled,
    read_dfew,
    read_ferv39k,
    read_frame_lists,
    read_label_file,
    read_mafw,
    read_rows,
)
from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN, canonical_name
from dfer_model.data.folds import assign_folds
from dfer_model.errors import InputError, unknown

# Frames that are neither JPEG nor PNG are packed as PNG.
FRAME_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"))
NAMED = 3  # of the files that are left out


@dataclass(frozen=True)
class ClipSource:
    """One clip to pack: `path` is its folder of frames or its video, None where nothing was found.

    `listed_frames` is the number a frame list gives, None elsewhere.
    """

    clip_id: str
    class_name: str
    fold: int
    path: Path | None
    listed_frames: int | None = None


@dataclass(frozen=True)
class Layout:
    """A dataset as found: its clips in natural order of their ids, and what was read to find them."""

    dataset: str
    class_names: tuple[str, ...]
    clips: tuple[ClipSource, ...]
    frames_root: Path
    label_files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Official:
    """Where a published dataset keeps its things: patterns below its root, the best first."""

    class_names: tuple[str, ...]
    frames: tuple[str, ...]
    labels: tuple[str, ...]
    columns: int = 2


def _mafw_labels(kind: str) -> tuple[str, ...]:
    bases = ("Train & Test Set/", "split/", "Train_Test_Set/", "anno/", "")
    middles = (f"{kind}/no_caption/", f"{kind}/with_caption/", f"{kind}/")
    return tuple(f"{base}{middle}set_*/t*.txt" for middle in middles for base in bases)


_MAFW_FRAMES = ("data/faces", "data/frames", "data/clips", "faces", "frames", "clips", "")
OFFICIAL = {
    "dfew": Official(
        SEVEN,
        (
            "Clip/clip_224x224",
            "clip_224x224",
            "Clip/clip_224x224_16f",
            "clip_224x224_16f",
            "DFEW_Frame_Face",
            "Clip/original",
            "original",
            "Clip/clip_224x224_avi",
            "clip_224x224_avi",
            "Clip",
            "",
        ),
        (
            "EmoLabel_DataSplit/*single*/*set_*.csv",
            "EmoLabel_DataSplit/t*/*set_*.csv",
            "*single*/*set_*.csv",
            "*set_*.csv",
        ),
    ),
    "ferv39k": Official(
        SEVEN,
        ("2_ClipsforFaceCrop", "2_ClipsForFaceCrop", "0_7_LabelClips", ""),
        ("4_setups/All_scenes/*_All.csv", "4_setups/All_scenes/*.csv", "All_scenes/*.csv", "*_*.csv"),
    ),
    "mafw": Official(ELEVEN, _MAFW_FRAMES, _mafw_labels("single")),
    "mafw-compound": Official(COMPOUND, _MAFW_FRAMES, _mafw_labels("compound")),
    "frame-list": Official(ELEVEN, ("",), ("*t*_*.txt", "annotation/*t*_*.txt", "*.txt"), columns=3),
}
FOLDER = "folder"
NAMES = (*OFFICIAL, FOLDER)


def check_name(name: str) -> None:
    """Raise InputError, with the nearest name, unless `name` is a layout."""
    if name not in NAMES:
        raise unknown("layout", name, NAMES)


def natural_key(name: str) -> tuple[tuple[int | str, ...], str]:
    """Sorts names as people count, `2.jpg` before `10.jpg`."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple(int(p) if i % 2 else p.casefold() for i, p in enumerate(pieces)), name


def frame_files(folder: Path) -> list[Path]:
    """The picture files of a clip's folder in natural order."""
    with os.scandir(folder) as entries:
        names = [
            e.name for e in entries if _visible(e.name) and Path(e.name).suffix.casefold() in FRAME_SUFFIXES
        ]
    return [folder / name for name in sorted(names, key=natural_key)]


def _visible(name: str) -> bool:
    """Not what desktops leave behind (.DS_Store, ._1.jpg, __MACOSX, Thumbs.db)."""
    return not name.startswith((".", "__")) and name not in ("Thumbs.db", "desktop.ini")


def is_video_name(path: Path) -> bool:
    """Whether a file is a video by its name; a WebP must be an animated one, else it is a picture."""
    suffix = path.suffix.casefold()
    return suffix in VIDEO_SUFFIXES and (suffix != ".webp" or is_animated_webp(path))


def other_files(folder: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """The visible files and folders in `folder` that are not wanted, in natural order."""
    found = [path for path in folder.iterdir() if _visible(path.name) and not is_wanted(path)]
    return sorted(found, key=lambda path: natural_key(path.name))


def in_words(paths: Sequence[Path], root: Path) -> str:
    """The first three of the paths below `root` by name, and how many more there are."""
    named = ", ".join(path.relative_to(root).as_posix() for path in paths[:NAMED])
    more = len(paths) - NAMED
    return f"{named} and {more} more" if more > 0 else named


class ClipTree:
    """Finds clips by names from a label file among the names on the disk, which alone become paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def find(self, parts: Sequence[str]) -> Path | None:
        """The folder or video those names lead to, None where there is none; a folder wins over a video.

        Case, a video's suffix and leading zeros of a number do not matter. Raises InputError when that makes
        two folders the same.
        """
        place: Path | None = self.root
        for part in parts:
            found = self._listing(place).get(_name_key(part), []) if place else []
            folders = [path for path in found if path.is_dir()] if len(found) > 1 else []
            if len(folders) > 1:
                raise InputError(f"{folders[0]} and {folders[1]} may both be clip {part}: take one away")
            place = next(iter(folders or found), None)
        return place

    def _listing(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listings:
            found: dict[str, list[Path]] = {}
            if folder.is_dir():
                with os.scandir(folder) as entries:
                    for entry in entries:
                        key = _entry_key(entry)
                        if key is not None:
                            found.setdefault(key, []).append(folder / entry.name)
            self._listings[folder] = found
        return self._listings[folder]


def _name_key(name: str) -> str:
    return str(int(name)) if name.isascii() and name.isdigit() else name.casefold()


def _entry_key(entry: os.DirEntry[str]) -> str | None:
    if not _visible(entry.name):
        return None
    if entry.is_dir():
        return _name_key(entry.name)
    path = Path(entry.path)
    return _name_key(path.stem) if is_video_name(path) else None


def read_official(
    name: str,
    root: Path,
    *,
    frames: Path | None = None,
    labels: Sequence[Path] = (),
    label_base: int | None = None,
) -> Layout:
    """Read a published dataset under `root`; `frames` and `labels` say where they lie if not where expected.

    Raises InputError when label files or clips are not found, and as the readers of `annotations` and
    `assign_folds` do.
    """
    official = OFFICIAL[name]
    paths = tuple(labels) or _find_labels(official, root, name)
    files, index = _split_index(name, paths, official.columns)
    readers: dict[str, Callable[[], list[list[Labelled]]]] = {
        "dfew": lambda: read_dfew(files, label_base),
        "ferv39k": lambda: read_ferv39k(files, index),
        "frame-list": lambda: read_frame_lists(files),
    }
    if label_base is not None and name != "dfew":
        raise InputError(f"--label-base is for dfew; the labels of {name} say themselves what they are")
    read = readers.get(name, lambda: read_mafw(files, official.class_names))()
    found = assign_folds(files, read)
    rows = [found[clip_id] for clip_id in sorted(found, key=natural_key)]
    frames_root, places = _locate(official, name, root, frames, [row for row, _ in rows])
    class_names = official.class_names
    if name == "frame-list" and all(row.class_name in SEVEN for row, _ in rows):
        class_names = SEVEN
    clips = tuple(
        ClipSource(row.clip_id, row.class_name, fold, place, row.listed_frames)
        for (row, fold), place in zip(rows, places, strict=True)
    )
    dataset = _listed_dataset(paths) if name == "frame-list" else name
    return Layout(dataset, class_names, clips, frames_root, paths, _notes(name, class_names, files, clips))


def _listed_dataset(paths: Sequence[Path]) -> str:
    """The dataset that frame lists are of by their names (`DFEW_set_1_test.txt`), else "frame-list"."""
    named = {known for known in ("dfew", "ferv39k", "mafw") if all(known in p.name.casefold() for p in paths)}
    return named.pop() if len(named) == 1 else "frame-list"


def _find_labels(official: Official, root: Path, name: str) -> tuple[Path, ...]:
    for pattern in official.labels:
        found = sorted(path for path in root.glob(pattern) if path.is_file() and _visible(path.name))
        if found:
            return tuple(found)
    raise InputError(
        f"no label files of {name} under {root} (looked for {official.labels[0]} and the like)\n"
        "Say where they are: --labels FILE, once for each file"
    )


def _split_index(
    name: str, paths: Sequence[Path], columns: int
) -> tuple[list[LabelFile], tuple[tuple[int, tuple[str, ...]], ...]]:
    """The label files, and the rows of a label index (`Angry 0`) where one is among FERV39k's."""
    index: tuple[tuple[int, tuple[str, ...]], ...] = ()
    files = []
    for path in paths:
        rows = read_rows(path, columns)
        if name == "ferv39k" and all(canonical_name(r[0]) and r[1].isdigit() for _, r in rows):
            index = rows
        else:
            files.append(read_label_file(path, columns))
    if not files:
        raise InputError(f"{paths[0]} is a label index; give the training and test lists too: --labels FILE")
    return files, index


def _locate(
    official: Official, name: str, root: Path, frames: Path | None, rows: Sequence[Labelled]
) -> tuple[Path, list[Path | None]]:
    """The folder the clips lie in, and each clip's place: the first candidate that holds any of them."""
    candidates = [frames] if frames else [root / place for place in official.frames]
    for candidate in candidates:
        if not candidate.is_dir():
            continue
        tree = ClipTree(candidate)
        # In a frame list, somebody's own root stands before the names that count: the longest tail of a
        # path that leads somewhere is taken, and never less than what tells one clip from another.
        longest = max(len(row.parts) for row in rows)
        shortest = max(row.clip_id.count("/") + 1 for row in rows)
        for length in range(longest, shortest - 1, -1):
            places = [tree.find(row.parts[-length:]) for row in rows]
            if any(places):
                return candidate, places
    looked = ", ".join(str(candidate) for candidate in candidates[:3])
    raise InputError(
        f"none of the {len(rows)} clips of {name} was found (looked in {looked})\n"
        f"The first one is {'/'.join(rows[0].parts)}; say where they lie: --frames DIR"
    )


def _notes(
    name: str, class_names: Sequence[str], files: Sequence[LabelFile], clips: Sequence[ClipSource]
) -> tuple[str, ...]:
    """What a person should know of what was found: which lists there were, and what they leave out."""
    notes = []
    for kind, wanted in (("test", True), ("training", False)):
        numbers = sorted(file.number for file in files if file.is_test == wanted)
        sets = ", ".join(map(str, numbers)) or "none"
        notes.append(f"{kind} lists read: {sets}")
    counts = Counter(clip.class_name for clip in clips)
    empty = [each for each in class_names if not counts[each]]
    if name.startswith("mafw") and "neutral" in empty:
        notes.append(
            "no clip is neutral: MAFW's with_caption lists leave it out, its no_caption lists do not"
        )
    elif empty:
        notes.append(f"no clip of {', '.join(empty)}")
    if {clip.fold for clip in clips} == {1}:
        notes.append("every clip is a test clip of fold 1: give the training lists too before training")
    return tuple(notes)
