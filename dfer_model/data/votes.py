"""The votes of several annotators for the classes of a clip: reading, checking, and target distributions.

Two kinds of files have them: a table with a column of votes per class (DFEW's annotation.xlsx, with the
columns `order`, `1happy` ... `7fear` for ten annotators), and lists of compound labels (MAFW's
`anger_disgust`), whose parts get a vote each.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_model.data.annotations import DELIMITERS, clip_parts, read_rows, read_text
from dfer_model.data.class_names import canonical_name, composed
from dfer_model.data.spreadsheet import sheet_rows
from dfer_model.errors import InputError, listed

REPORT_KEY = "votes"  # in prepare.json
CLIP_COLUMNS = ("clip_id", "clip", "video_name", "video", "file", "name", "order")
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Rows = dict[str, tuple[float, ...]]  # key of a clip's id -> votes for each class


@dataclass(frozen=True)
class Votes:
    """The votes for clips, by the key of their id, and the files with them."""

    by_clip: Mapping[str, tuple[float, ...]]
    files: tuple[Path, ...]

    def of(self, clip_ids: Sequence[str], labels: Sequence[int], classes: int) -> Floats:
        """The votes for each clip (clips, classes); a clip without votes has one for its label."""
        found = np.zeros((len(clip_ids), classes), np.float32)
        for row, clip_id, label in zip(found, clip_ids, labels, strict=True):
            own = self.by_clip.get(vote_key(clip_id))
            if own is None:
                row[label] = 1
            else:
                row[:] = own
        return found

    def check(self, labels: Mapping[str, int]) -> None:
        """Compare with the labels of clips by id.

        Raises InputError if no clip has votes, or if half of those with votes have none for their label.
        """
        known = {
            clip_id: self.by_clip[key] for clip_id in labels if (key := vote_key(clip_id)) in self.by_clip
        }
        if not known:
            raise InputError(
                f"{self.files[0]} has votes for none of the clips\nGive another file: --votes FILE"
            )
        against = [clip_id for clip_id, votes in known.items() if not votes[labels[clip_id]]]
        if 2 * len(against) >= len(known):
            raise InputError(
                f"{len(against)} of {len(known)} clips have no vote for their label in {self.files[0]}: "
                f"{listed(against)}\nCheck that its columns are named by the classes"
            )

    def note(self, clip_ids: Sequence[str]) -> str:
        """A note on how many of these clips have votes."""
        count = sum(vote_key(clip_id) in self.by_clip for clip_id in clip_ids)
        rest = "" if count == len(clip_ids) else "; the others have one vote for their label"
        return f"{count} of {len(clip_ids)} clips have votes{rest}"


def read_votes(paths: Sequence[Path], class_names: Sequence[str]) -> Votes:
    """The votes in tables or lists of compound labels. Raises InputError for files without votes."""
    found: Rows = {}
    for path in paths:
        for key, votes in _read(path, class_names).items():
            if found.setdefault(key, votes) != votes:
                raise InputError(
                    f"clip {key} has two different votes in {listed([str(each) for each in paths])}"
                )
    return Votes(found, tuple(paths))


def vote_key(clip_id: str) -> str:
    """The id without a video's suffix and leading zeros, which spreadsheets drop."""
    *folders, name = clip_parts(clip_id, "votes")
    return "/".join([*folders, (name.lstrip("0") or "0") if name.isascii() and name.isdigit() else name])


def _read(path: Path, class_names: Sequence[str]) -> Rows:
    rows = sheet_rows(path) if path.suffix.casefold() == ".xlsx" else _table_rows(path)
    columns = _class_columns(rows[0], class_names) if rows else {}
    if len(columns) < 2:
        return _compound(path, class_names)
    missing = [name for name in class_names if name not in columns]
    if missing:
        raise InputError(f"{path} has no column of votes for {', '.join(missing)}")
    place = next((each for each, title in enumerate(rows[0]) if title.casefold() in CLIP_COLUMNS), 0)
    found: Rows = {}
    for number, row in enumerate(rows[1:], start=2):
        if any(row):
            where = f"{path}, row {number}"
            clip = row[place] if place < len(row) else ""
            key = vote_key(clip) if clip else ""
            votes = tuple(_vote(row, columns[name], where) for name in class_names)
            if not key or not sum(votes):
                raise InputError(f"{where}: expected a clip and its votes")
            if found.setdefault(key, votes) != votes:
                raise InputError(f"{where}: clip {key} has other votes in an earlier row")
    return found


def _table_rows(path: Path) -> list[list[str]]:
    text = read_text(path)
    head = text.lstrip().partition("\n")[0]
    delimiter = next((each for each in DELIMITERS if each in head), ",")
    return [[field.strip() for field in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]


def _class_columns(head: Sequence[str], class_names: Sequence[str]) -> dict[str, int]:
    """Class name -> its column, by a header such as `1happy`, `happiness` or the class's own name."""
    own = {composed(name).casefold(): name for name in class_names}
    found: dict[str, int] = {}
    for place, title in enumerate(head):
        text = composed(re.sub(r"^[0-9]+[ ._-]*", "", title)).strip().casefold()
        name = own.get(text) or canonical_name(text)
        if name in class_names:
            found.setdefault(str(name), place)
    return found


def _vote(row: Sequence[str], place: int, where: str) -> float:
    text = row[place] if place < len(row) else ""
    try:
        vote = float(text or 0)
    except ValueError:
        vote = -1.0
    if not 0 <= vote < float("inf"):
        raise InputError(f"{where}: {text[:40]!r} is not a number of votes")
    return vote


def _compound(path: Path, class_names: Sequence[str]) -> Rows:
    """A vote for each part of the label in a list such as `00025.mp4 anger_disgust`."""
    found: Rows = {}
    for line, (clip, label, *_) in read_rows(path, 2):
        name = canonical_name(label)
        parts = name.split("_") if name else []
        if not parts or any(part not in class_names for part in parts):
            raise InputError(
                f"{path}, line {line}: {label[:60]!r} is no label of the classes {listed(class_names)}\n"
                "--votes takes a table with a column per class, or lists of compound labels"
            )
        found[vote_key(clip)] = tuple(float(each in parts) for each in class_names)
    return found


def votes_digest(votes: Floats) -> str:
    """The sha256 of votes (clips, classes)."""
    return hashlib.sha256(votes.astype("<f4").tobytes()).hexdigest()


def checked_votes(column: Sequence[Any], clips: int, classes: int) -> Floats:
    """The column of an index as (clips, classes). Raises ValueError for another shape or invalid votes."""
    votes = np.array(column, dtype=np.float32)
    if votes.shape != (clips, classes):
        raise ValueError(f"its votes have the shape {votes.shape}, not {(clips, classes)}")
    if not np.isfinite(votes).all() or (votes < 0).any() or not votes.any(axis=1).all():
        raise ValueError("its votes are not numbers above 0")
    return votes


def target_distributions(votes: Floats, labels: Integers, learned: Integers) -> Floats:
    """The shares of the votes among the classes `learned`: (clips, learned classes), rows of sum 1.

    A clip without votes for any of them has all of its share at its label, or 0 everywhere if that is not
    learned either.
    """
    kept = votes[:, learned]
    total = kept.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, kept / np.maximum(total, 1e-12), labels[:, None] == learned)
    return np.asarray(shares, dtype=np.float32)
