"""Where the clips of a dataset are on the disk: by names from a label file among the names that are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_model.data.animation import is_video_name
from dfer_model.data.annotations import Labelled, whole_number
from dfer_model.data.class_names import composed
from dfer_model.data.label_files import inner_folders, visible
from dfer_model.data.official_folders import Official
from dfer_model.errors import InputError

# The same pictures as frames and as videos, beside each other: what one lacks is taken from the other.
_SAME_PICTURES = {
    "frames": "clips",
    "clips": "frames",
    "clip_224x224": "clip_224x224_avi",
    "clip_224x224_avi": "clip_224x224",
}


class ClipTree:
    """Finds clips by names from a label file among the names on the disk, which alone become paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def find(self, parts: Sequence[str]) -> Path | None:
        """The folder or video those names lead to, None where there is none; a folder wins over a video.

        Case, Unicode's form, a video's suffix and a number's leading zeros do not matter. Raises InputError
        when that makes two folders the same.
        """
        place: Path | None = self.root
        for part in parts:
            found = self._listing(place).get(_name_key(part), []) if place else []
            folders = [path for path in found if path.is_dir()] if len(found) > 1 else []
            if len(folders) > 1:
                raise InputError(f"{folders[0]} and {folders[1]} may both be clip {part}: take one away")
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
    whole = whole_number(name)
    if whole.isascii() and whole.isdigit():
        return str(int(whole))
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
    """Where clips are: their own places below `root`, and where those not found lie among other pictures."""

    root: Path
    found: list[Path | None]
    elsewhere: list[Path | None]
    notes: tuple[str, ...] = ()


def locate(
    official: Official, name: str, root: Path, frames: Path | None, rows: Sequence[Labelled]
) -> Places:
    """The first folder that holds any of the clips, and each clip's place in it.

    What a folder of frames lacks is taken from the folder of the same pictures as videos beside it, and the
    other way round; of other folders it is only said that they have it.
    """
    direct = [frames] if frames else [root / place for place in official.frames]
    for candidate in (*direct, *_deeper(direct, official)):
        found = _places_in(candidate, rows)
        if any(found):
            return _completed(candidate, found, direct, rows)
    looked = ", ".join(str(candidate) for candidate in direct[:3])
    raise InputError(
        f"none of the {len(rows)} clips of {name} was found (looked in {looked})\n"
        f"The first one is {'/'.join(rows[0].parts)}; say where they lie: --frames DIR"
    )


def _deeper(candidates: Sequence[Path], official: Official) -> Iterator[Path]:
    """Folders that an extra folder around the dataset, or around its clips, would make one level deeper."""
    inner = [folder for candidate in candidates for folder in inner_folders(candidate)]
    tried = {*candidates}
    for place in ("", *official.frames):
        for folder in inner:
            if folder / place not in tried:
                tried.add(folder / place)
                yield folder / place


def _places_in(candidate: Path, rows: Sequence[Labelled]) -> list[Path | None]:
    """Each clip's place in the folder; all None where it holds none of them."""
    if not candidate.is_dir():
        return [None] * len(rows)
    tree = ClipTree(candidate)
    # In a frame list, somebody's own root stands before the names that count: the longest tail of a
    # path that leads somewhere is taken, and never less than what tells one clip from another.
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
    """The places found in `candidate`, and what other folders have of the clips that it lacks."""
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
