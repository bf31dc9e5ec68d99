"""Finding the label files of a dataset: those given by `--labels`, or those below its root."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from dfer_model.data.annotations import role_of
from dfer_model.errors import InputError, listed

SUFFIXES = frozenset((".txt", ".csv", ".tsv"))
# A folder of lists may contain folders of lists: single/no_caption/set_1/test.txt.
DEPTH = 3
# A folder with more folders in it contains clips and is not an extra folder around a dataset.
MOST_FOLDERS = 50


def visible(name: str) -> bool:
    """Whether a name is not that of a system file (.DS_Store, ._1.jpg, __MACOSX, Thumbs.db)."""
    return not name.startswith((".", "__")) and name not in ("Thumbs.db", "desktop.ini")


def inner_folders(folder: Path) -> list[Path]:
    """The folders in `folder` that may contain the dataset one level deeper; empty if they are clips."""
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if visible(path.name) and path.is_dir())
    return found if len(found) <= MOST_FOLDERS else []


def given_files(given: Sequence[Path], patterns: Sequence[str]) -> tuple[Path, ...]:
    """The files given as files, folders of lists, or glob patterns, without duplicates.

    In a folder, files that match the layout's `patterns`, or else all lists. Raises InputError for a folder
    without lists and a pattern without matches.
    """
    found: list[Path] = []
    for each in (path.expanduser() for path in given):
        if each.is_dir():
            files = matching(each, patterns) or list(_lists_in(each))
            if not files:
                raise InputError(
                    f"no label files in {each}: no .txt or .csv file with train, val or test in its name\n"
                    "Give them: --labels FILE, once for each file"
                )
        elif not each.exists() and glob.has_magic(str(each)):
            root = Path(each.anchor)
            files = [path for path in sorted(root.glob(str(each.relative_to(root)))) if path.is_file()]
            if not files:
                raise InputError(f"no file matches --labels {each}")
        else:
            files = [each]
        found += files
    return tuple(dict.fromkeys(found))


def matching(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The lists that match the first of `patterns` below `root` that any list matches."""
    for pattern in patterns:
        found = [path for path in sorted(root.glob(pattern)) if _is_list(path)]
        if found:
            return found
    return []


def find_files(root: Path, patterns: Sequence[str]) -> list[Path]:
    """As `matching`, below `root` or else below the one folder in it that has lists.

    Raises InputError if several have.
    """
    found = matching(root, patterns)
    if found:
        return found
    inner = {folder: files for folder in inner_folders(root) if (files := matching(folder, patterns))}
    if len(inner) > 1:
        raise InputError(
            f"there are label files in {listed([str(folder) for folder in inner])}\n"
            "Choose one of them as --root, or give the files: --labels FILE"
        )
    return next(iter(inner.values()), [])


def _is_list(path: Path) -> bool:
    """Whether it is a list by its name, or an index of label numbers; a README is neither."""
    named = role_of(path) is not None or "index" in path.stem.casefold()
    return named and visible(path.name) and path.is_file()


def _lists_in(folder: Path) -> Iterator[Path]:
    for depth in range(1, DEPTH + 1):
        for path in sorted(folder.glob("/".join(["*"] * depth))):
            if path.suffix.casefold() in SUFFIXES and _is_list(path):
                yield path
