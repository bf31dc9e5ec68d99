"""Locating the clips of a dataset on the disk by their names in a label file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_model.data.annotations import Labelled, whole_number
from dfer_model.data.class_names import composed
from dfer_model.data.images import is_video_name
from dfer_model.data.label_files import inner_folders, visible
from dfer_model.data.official_folders import Official
from dfer_model.errors import InputError

# The same clips as frames and as videos in neighbouring folders: each completes the other.
_SAME_PICTURES = {
    "frames": "clips",
    "clips": "frames",
    "clip_224x224": "clip_224x224_avi",
    "clip_224x224_avi": "clip_224x224",
}


class ClipTree:
    """Matches names from a label file with names on the disk; only the latter become paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def find(self, parts: Sequence[str]) -> Path | None:
        """The folder or video with these names, None if there is none; a folder has precedence.

        Case, Unicode form, a video's suffix and a number's leading zeros are ignored. Raises InputError if
        two folders match.
        """
        place: Path | None = self.root
        for part in parts:
            found = self._listing(place).get(_name_key(part), []) if place else []
            folders = [path for path in found if path.is_dir()] if len(found) > 1 else []
            if len(folders) > 1:
                raise InputError(f"{folders[0]} and {folders[1]} both match clip {part}: remove one")
            place = next(iter(folders or found), None)
        return place

    def holds_any(self, names: Iterable[str]) -> bool:
        """Whether any of the names is in the root itself."""
        return not self._listing(self.root).keys().isdisjoint(map(_name_key, names))

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
    number = whole_number(name)
    if number.isascii() and number.isdigit():
        return str(int(number))
    return composed(name).casefold()


def _entry_key(entry: os.DirEntry[str]) -> str | None:
    if not visible(entry.name):
        return None
    if entry.is_dir():
        return _name_key(entry.name)
    path = Path(entry.path)
    return _name_key(path.stem) if is_video_name(path) else None


@dataclass(frozen=True)
class Places:
    """The places of clips below `root`, and the places of missing clips in other folders."""

    root: Path
    found: list[Path | None]
    elsewhere: list[Path | None]
    notes: tuple[str, ...] = ()


def locate(
    official: Official, name: str, root: Path, frames: Path | None, rows: Sequence[Labelled]
) -> Places:
    """The first folder that holds any of the clips, and each clip's place in it.

    Clips missing in a folder of frames are taken from the neighbouring folder with the same clips as videos,
    and vice versa; for other folders it is only reported that they have them.
    """
    direct = [frames] if frames else [root / place for place in official.frames]
    for candidate in (*direct, *_deeper(direct, official)):
        found = _places_in(candidate, rows)
        if any(found):
            return _completed(candidate, found, direct, rows)
    looked = ", ".join(str(candidate) for candidate in direct[:3])
    raise InputError(
        f"none of the {len(rows)} clips of {name} was found (looked in {looked})\n"
        f"The first one is {'/'.join(rows[0].parts)}; give their folder: --frames DIR"
    )


def _deeper(candidates: Sequence[Path], official: Official) -> Iterator[Path]:
    """Candidate folders one level deeper, inside an extra folder around the dataset or its clips."""
    inner = [folder for candidate in candidates for folder in inner_folders(candidate)]
    tried = {*candidates}
    for place in ("", *official.frames):
        for folder in inner:
            if folder / place not in tried:
                tried.add(folder / place)
                yield folder / place


def _places_in(candidate: Path, rows: Sequence[Labelled]) -> list[Path | None]:
    """Each clip's place in the folder; all None if it has none of them."""
    if not candidate.is_dir():
        return [None] * len(rows)
    tree = ClipTree(candidate)
    # Paths in a frame list start with the author's own root: the longest tail of a path that exists is
    # used, but never less than what distinguishes the clips.
    longest = max(len(row.parts) for row in rows)
    shortest = max(row.clip_id.count("/") + 1 for row in rows)
    for length in range(longest, shortest - 1, -1):
        if tree.holds_any({row.parts[-length:][0] for row in rows}):
            places = [tree.find(row.parts[-length:]) for row in rows]
            if any(places):
                return places
    return [None] * len(rows)


def _completed(
    candidate: Path, found: list[Path | None], others: Sequence[Path], rows: Sequence[Labelled]
) -> Places:
    """The places found in `candidate`, and places of missing clips in other folders."""
    lacking = [at for at, place in enumerate(found) if place is None]
    elsewhere: list[Path | None] = [None] * len(rows)
    if not lacking:
        return Places(candidate, found, elsewhere)
    missing = [rows[at] for at in lacking]
    partner = candidate.with_name(_SAME_PICTURES.get(candidate.name, candidate.name))
    taken = 0
    if partner != candidate:
        for at, place in zip(lacking, _places_in(partner, missing), strict=True):
            found[at] = place
            taken += place is not None
    for other in others:
        if other not in (candidate, partner):
            for at, place in zip(lacking, _places_in(other, missing), strict=True):
                elsewhere[at] = elsewhere[at] or (place if found[at] is None else None)
    if not taken:
        return Places(candidate, found, elsewhere)
    note = f"{taken} of {len(rows)} clips are taken from {partner}, which {candidate} lacks"
    return Places(candidate.parent, found, elsewhere, (note,))
