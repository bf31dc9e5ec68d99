"""Custom datasets: `ROOT/<class>/<clip id>/<frames>` or `ROOT/<class>/<clip id>.<video>`, folds.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dfer_model.data.annotations import read_rows, whole_number
from dfer_model.data.class_names import COMPOUND, canonical_name, composed
from dfer_model.data.folds import deal_folds
from dfer_model.data.images import is_video_name
from dfer_model.data.layouts import (
    FOLDER,
    FRAME_SUFFIXES,
    ClipSource,
    Layout,
    check_dataset_name,
    in_words,
    natural_key,
    other_files,
)
from dfer_model.errors import InputError

FOLDS_NAME = "folds.csv"


def read_folder(
    root: Path, *, folds: int | None = None, seed: int = 0, dataset_name: str | None = None
) -> Layout:
    """Read a custom dataset; `folds` creates that many folds if there is no folds.csv.

    Folders with an alias of a known class ("Happy") are that class ("happiness"); others use the folder name,
    in NFC. Known classes come first, in their usual order. A clip's id is its name, or `<class
    folder>/<name>` for all clips if two classes share a name. Without folds.csv and `folds`, every fold is 0.
    Raises InputError if there is no clip, or folds.csv does not match the clips.
    """
    places = [
        (folder, clip, name) for name, folder in _class_folders(root).items() for clip in _clips_in(folder)
    ]
    if not places:
        raise InputError(f"no clip in {root}\nExpected: <class>/<clip id>/<frames> or <class>/<clip id>.mp4")
    repeated = max(Counter(_clip_name(clip) for _, clip, _ in places).values()) > 1
    named = {
        f"{composed(folder.name)}/{_clip_name(clip)}" if repeated else _clip_name(clip): (clip, class_name)
        for folder, clip, class_name in places
    }
    if len(named) < len(places):
        raise InputError(f"a clip in {root} exists twice, as a folder and as a video: {_twice(places)}")
    fold_of = _folds(root, {clip_id: class_name for clip_id, (_, class_name) in named.items()}, folds, seed)
    clips = tuple(
        ClipSource(clip_id, named[clip_id][1], fold_of.get(clip_id, 0), named[clip_id][0])
        for clip_id in sorted(named, key=natural_key)
    )
    listed = (root / FOLDS_NAME,) if (root / FOLDS_NAME).is_file() else ()
    notes = [] if any(fold_of.values()) else ["no folds: every clip is in fold 0, which is never tested"]
    class_names = tuple(dict.fromkeys(class_name for _, _, class_name in places))
    dataset = FOLDER if dataset_name is None else check_dataset_name(dataset_name)
    return Layout(dataset, class_names, clips, root, listed, (*notes, *_left_out(root)))


def _class_folders(root: Path) -> dict[str, Path]:
    """Class name -> its folder, in label order. Raises InputError if two folders are the same class."""
    found: dict[str, Path] = {}
    for folder in sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    ):
        name = canonical_name(folder.name) or composed(folder.name)
        if name in found:
            raise InputError(f"{found[name]} and {folder} are the same class, {name}\nMerge them")
        found[name] = folder
    known = [name for name in COMPOUND if name in found]
    others = sorted((name for name in found if name not in COMPOUND), key=natural_key)
    return {name: found[name] for name in (*known, *others)}


def _clips_in(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__")) and (path.is_dir() or is_video_name(path))
    ]


def _left_out(root: Path) -> list[str]:
    """Notes on the files that belong to no clip."""
    classes = list(_class_folders(root).values())
    beside = [path for path in other_files(root, lambda path: path.is_dir()) if _is_media(path)]
    beside += [
        path
        for folder in classes
        for path in other_files(folder, lambda path: path.is_dir() or is_video_name(path))
    ]
    inside = [
        path
        for folder in classes
        for clip in _clips_in(folder)
        if clip.is_dir()
        for path in other_files(clip, lambda path: path.is_dir() or path.suffix.casefold() in FRAME_SUFFIXES)
    ]
    refused = (
        (beside, "that are neither a clip's video nor its folder"),
        (inside, "in clip folders that are no frames"),
    )
    return [f"left out {len(paths)} files {why}: {in_words(paths, root)}" for paths, why in refused if paths]


def _is_media(path: Path) -> bool:
    return is_video_name(path) or path.suffix.casefold() in FRAME_SUFFIXES


def _clip_name(clip: Path) -> str:
    return composed(clip.name if clip.is_dir() else clip.stem)


def _twice(places: Sequence[tuple[Path, Path, str]]) -> str:
    (folder, name), _ = Counter((folder.name, _clip_name(clip)) for folder, clip, _ in places).most_common(1)[
        0
    ]
    return f"{folder}/{name}"


def _folds(root: Path, classes: Mapping[str, str], folds: int | None, seed: int) -> dict[str, int]:
    listed = root / FOLDS_NAME
    if not listed.is_file():
        return deal_folds(classes, folds, seed) if folds is not None else {}
    if folds is not None:
        raise InputError(f"{listed} already defines the folds\nOmit --folds, or remove the file")
    fold_of: dict[str, int] = {}
    written = {whole_number(clip_id): clip_id for clip_id in classes}  # rows have integers only
    for line, (name, fold, *_) in read_rows(listed, 2):
        where = f"{listed}, line {line}"
        clip_id = composed(name) if composed(name) in classes else written.get(composed(name), name)
        if clip_id not in classes:
            raise InputError(f"{where}: no clip {clip_id!r} in {root} (ids are like {next(iter(classes))})")
        if not (fold.isascii() and fold.isdigit()):
            raise InputError(f"{where}: fold {fold!r} is not a number 0, 1, 2 ... (0 is never tested)")
        if fold_of.setdefault(clip_id, int(fold)) != int(fold):
            raise InputError(f"{where}: clip {clip_id} is in fold {fold} and in fold {fold_of[clip_id]}")
    absent = [clip_id for clip_id in classes if clip_id not in fold_of]
    if absent:
        raise InputError(
            f"{listed} lacks {len(absent)} clips, such as {absent[0]}\n"
            "Give each a fold; 0 for clips that are only trained on"
        )
    return fold_of
