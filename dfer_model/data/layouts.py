"""Reading datasets from the disk: finding label files and clips in the official layouts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dfer_model.data.annotations import (
    LabelFile,
    Labelled,
    Rows,
    read_dfew,
    read_ferv39k,
    read_frame_lists,
    read_label_file,
    read_mafw,
    read_rows,
)
from dfer_model.data.class_names import SEVEN, canonical_name
from dfer_model.data.clip_places import locate
from dfer_model.data.folds import FoldLists, assign_folds, fold_lists, notes_on, without_test_lists_again
from dfer_model.data.label_files import find_files, given_files, visible
from dfer_model.data.official_folders import OFFICIAL, OWN_LABELS, Official
from dfer_model.data.votes import Votes, read_votes
from dfer_model.errors import InputError, unknown

# Frames that are neither JPEG nor PNG are packed as PNG.
FRAME_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"))
NAMED = 3  # number of omitted files named in a note


@dataclass(frozen=True)
class ClipSource:
    """One clip to pack: `path` is its folder of frames or its video, None if not found.

    `listed_frames` is the number of frames in a frame list, None otherwise. `elsewhere` is the place of a
    missing clip in a folder that is not being packed.
    """

    clip_id: str
    class_name: str
    fold: int
    path: Path | None
    listed_frames: int | None = None
    elsewhere: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A dataset as found: its clips in natural order of their ids, and the files that were read.

    `lists` are the training and validation lists that differ from the fold rule (`folds.py`).
    """

    dataset: str
    class_names: tuple[str, ...]
    clips: tuple[ClipSource, ...]
    frames_root: Path
    label_files: tuple[Path, ...]
    notes: tuple[str, ...]
    lists: Mapping[int, FoldLists] = field(default_factory=dict)
    votes: Votes | None = None


FOLDER = "folder"
LONGEST_NAME = 80  # of a dataset, in characters
NAMES = (*OFFICIAL, FOLDER)


def check_dataset_name(name: str) -> str:
    """A dataset's name, in canonical form for known datasets. Raises InputError if it is not valid."""
    if name.strip().casefold() in OFFICIAL:
        return name.strip().casefold()
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InputError(
            f"--dataset-name {name[:LONGEST_NAME]!r} is not a valid name\n"
            f"Give one line of at most {LONGEST_NAME} characters"
        )
    return name.strip()


def check_name(name: str) -> None:
    """Raise InputError, with the most similar name, unless `name` is a layout."""
    if name not in NAMES:
        raise unknown("layout", name, NAMES)


def natural_key(name: str) -> tuple[tuple[int | str, ...], str]:
    """Natural sort key: `2.jpg` before `10.jpg`."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple(int(p) if i % 2 else p.casefold() for i, p in enumerate(pieces)), name


def frame_files(folder: Path) -> list[Path]:
    """The image files of a clip's folder in natural order.

    If the folder contains only one folder, that folder is used, as from some archives.
    """
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if visible(entry.name)]
    if len(found) == 1 and found[0].is_dir():
        return frame_files(Path(found[0].path))
    names = [entry.name for entry in found if Path(entry.name).suffix.casefold() in FRAME_SUFFIXES]
    return [folder / name for name in sorted(names, key=natural_key)]


def other_files(folder: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """The visible files and folders in `folder` that are not in `wanted`, in natural order."""
    found = [path for path in folder.iterdir() if visible(path.name) and not is_wanted(path)]
    return sorted(found, key=lambda path: natural_key(path.name))


def in_words(paths: Sequence[Path], root: Path) -> str:
    """The first three of the paths below `root`, and the number of others, as text."""
    named = ", ".join(path.relative_to(root).as_posix() for path in paths[:NAMED])
    more = len(paths) - NAMED
    return f"{named} and {more} more" if more > 0 else named


def read_official(
    name: str,
    root: Path,
    *,
    frames: Path | None = None,
    labels: Sequence[Path] = (),
    label_base: int | None = None,
    dataset_name: str | None = None,
) -> Layout:
    """Read a published dataset under `root`; `frames` and `labels` override the expected places.

    `labels` are files, folders of lists or glob patterns. `dataset_name` is the dataset of frame lists.
    Raises InputError if label files or clips are not found, and as `assign_folds` and the readers of
    `annotations`.
    """
    official = OFFICIAL[name]
    if label_base is not None and name != "dfew":
        raise InputError(f"--label-base requires the layout dfew, not {name}")
    if dataset_name is not None and name != "frame-list":
        raise InputError(f"--dataset-name requires the layout frame-list or folder, not {name}")
    paths = given_files(labels, official.labels) or _find_labels(official, root, name)
    if name == "frame-list":
        paths = _of_one_dataset(paths, dataset_name)
    given, index = _split_index(name, paths, official.columns)
    readers: dict[str, Callable[[], list[list[Labelled]]]] = {
        "dfew": lambda: read_dfew(given, label_base),
        "ferv39k": lambda: read_ferv39k(given, index),
        "frame-list": lambda: read_frame_lists(given),
    }
    read = readers.get(name, lambda: read_mafw(given, official.class_names, index))()
    files, used, repeated = without_test_lists_again(given, read)
    found = assign_folds(files, used)
    lists = fold_lists(files, used, {clip_id: fold for clip_id, (_, fold) in found.items()})
    rows = [found[clip_id] for clip_id in sorted(found, key=natural_key)]
    places = locate(official, name, root, frames, [row for row, _ in rows])
    class_names = official.class_names
    if name == "frame-list" and all(row.class_name in SEVEN for row, _ in rows):
        class_names = SEVEN
    clips = tuple(
        ClipSource(row.clip_id, row.class_name, fold, place, row.listed_frames, elsewhere)
        for (row, fold), place, elsewhere in zip(rows, places.found, places.elsewhere, strict=True)
    )
    dataset = _dataset(paths, dataset_name) if name == "frame-list" else name
    notes = (
        *_notes(name, class_names, files, clips), *repeated, *notes_on(lists), *places.notes,
        *([UNNAMED] if dataset == "frame-list" else []),
    )  # fmt: skip
    return Layout(dataset, class_names, clips, places.root, paths, notes, lists)


UNNAMED = (
    "the dataset of the lists is unknown: set it by --dataset-name dfew, ferv39k or mafw, and "
    "--preset paper will augment as the released code does"
)


def _named_in(path: Path) -> list[str]:
    return [known for known in ("dfew", "ferv39k", "mafw") if known in path.name.casefold()]


def with_votes(layout: Layout, given: Sequence[Path]) -> Layout:
    """The layout with the votes for its clips in the files `given`; unchanged without files.

    `given` are files, folders or glob patterns, as for labels. Raises as `read_votes` and `Votes.check`.
    """
    paths = given_files(given, ())
    if not paths:
        return layout
    votes = read_votes(paths, layout.class_names)
    labels = {clip.clip_id: layout.class_names.index(clip.class_name) for clip in layout.clips}
    votes.check(labels)
    return replace(layout, votes=votes, notes=(*layout.notes, votes.note(list(labels))))


def listed_dataset(paths: Sequence[Path]) -> str:
    """The dataset of frame lists by their names (`DFEW_set_1_test.txt`), else "frame-list"."""
    named = {known for known in ("dfew", "ferv39k", "mafw") if all(known in _named_in(p) for p in paths)}
    return named.pop() if len(named) == 1 else "frame-list"


def _dataset(paths: Sequence[Path], dataset_name: str | None) -> str:
    """The dataset of frame lists: as given, else by their names. Raises InputError if these contradict."""
    by_names = listed_dataset(paths)
    if dataset_name in (None, by_names):
        return by_names
    given = check_dataset_name(str(dataset_name))
    if by_names != "frame-list" and given in OFFICIAL and given != by_names:
        raise InputError(
            f"--dataset-name {given} contradicts the name of {paths[0]}\nRename the lists, or leave it out"
        )
    return given


def _of_one_dataset(paths: Sequence[Path], dataset_name: str | None) -> tuple[Path, ...]:
    """The frame lists of one dataset, by their names; DFER-CLIP has those of all three in one folder."""
    named = sorted({known for path in paths for known in _named_in(path)})
    if len(named) < 2:
        return tuple(paths)
    key = (dataset_name or "").casefold()
    if key in named:
        return tuple(path for path in paths if key in _named_in(path))
    raise InputError(
        f"the lists in {paths[0].parent} are of several datasets: {', '.join(named)}\n"
        f"Choose one: --dataset-name {named[0]}, or --labels '{paths[0].parent / named[0].upper()}*'"
    )


def _find_labels(official: Official, root: Path, name: str) -> tuple[Path, ...]:
    found = find_files(root, official.labels)
    if found:
        return tuple(found)
    advice = "Give them: --labels FILE, a folder or a pattern"
    for other, patterns in OWN_LABELS.items():
        if other != name and find_files(root, patterns):
            advice = f"Those of {other} are there: dfer-prompts data prepare {other}; else --labels FILE"
    raise InputError(
        f"no label files of {name} under {root} (looked for {official.labels[0]} and the like)\n{advice}"
    )


def _split_index(name: str, paths: Sequence[Path], columns: int) -> tuple[list[LabelFile], Rows]:
    """The label files, and the rows of a label index (`Angry 0`) if FERV39k's or MAFW's have one."""
    index: Rows = ()
    files = []
    for path in paths:
        rows = read_rows(path, columns)
        if columns == 2 and name != "dfew" and all(canonical_name(r[0]) and r[1].isdigit() for _, r in rows):
            index = rows
        else:
            files.append(read_label_file(path, columns))
    if not files:
        raise InputError(f"{paths[0]} is a label index; give the training and test lists too: --labels FILE")
    return files, index


def _notes(
    name: str, class_names: Sequence[str], files: Sequence[LabelFile], clips: Sequence[ClipSource]
) -> tuple[str, ...]:
    """Notes for the user on the lists that were read and what they leave out."""
    notes = []
    for kind, role in (("test", "test"), ("training", "train"), ("validation", "val")):
        numbers = sorted(file.number for file in files if file.role == role)
        if numbers or role != "val":
            notes.append(f"{kind} lists read: {', '.join(map(str, numbers)) or 'none'}")
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
