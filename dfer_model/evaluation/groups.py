"""Groups of clips by an attribute: the scene in FERV39k's clip ids, or a column of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_model.data.annotations import DELIMITERS, whole_number
from dfer_model.data.class_names import canonical_name, composed
from dfer_model.errors import InputError, listed, unknown

SCENE = "scene"
CLIP_ID = "clip_id"
NO_VALUE = "(no value)"
MOST_GROUPS = 500  # more are taken for a mistake, such as a column of file names
FORMS = "Give --groups scene (FERV39k) or --groups FILE.csv:COLUMN, a file with the column clip_id"


@dataclass(frozen=True)
class Groups:
    """An attribute of clips, and where it is from: the ids themselves, or the rows of `path`."""

    name: str
    path: Path | None = None
    values: Mapping[str, str] | None = None  # by the key of a clip id; None for the scene

    @classmethod
    def read(cls, given: Path | str) -> Groups:
        """The groups given as `scene`, `FILE.csv:COLUMN`, or `FILE.csv` with one column besides clip_id.

        The file is UTF-8 text with a header, separated by commas, semicolons or tabs. Raises InputError if it
        is missing or empty, has no such column, or two values for a clip.
        """
        if given == SCENE:
            return cls(SCENE)
        path, column = _file_and_column(str(given))
        return cls(*_read_csv(path, column))

    @property
    def given(self) -> str:
        """The value of --groups that gives the same groups."""
        return self.name if self.path is None else f"{self.path}:{self.name}"

    def of(self, clip_ids: Sequence[str]) -> list[str]:
        """The group of each clip. Raises InputError with the clips that have none, or for too many groups."""
        if self.values is None:
            found = [_scene(clip) for clip in clip_ids]
        else:
            found = [self.values.get(_key(clip)) for clip in clip_ids]
        missing = [clip for clip, value in zip(clip_ids, found, strict=True) if value is None]
        if missing and self.values is None:
            raise InputError(
                f"--groups scene: {len(missing)} of {len(clip_ids)} clips have no scene in their id: "
                f"{listed(missing)}\nFERV39k's ids have one (Action/Happy/0015); for others give a file: "
                "--groups FILE.csv:COLUMN"
            )
        if missing:
            raise InputError(
                f"{self.path} lacks {len(missing)} of {len(clip_ids)} test clips: {listed(missing)}\n"
                "Add a row for each of them"
            )
        groups = [value for value in found if value is not None]
        if len({*groups}) > MOST_GROUPS:
            raise InputError(
                f"--groups {self.given} has {len({*groups})} values for {len(groups)} clips\n"
                f"Choose a column with at most {MOST_GROUPS} values"
            )
        return groups


def _scene(clip_id: str) -> str | None:
    """The scene of FERV39k's `Scene/Emotion/NNNN`, also at the end of a path; None for other ids."""
    parts = clip_id.split("/")
    return parts[-3] if len(parts) > 2 and canonical_name(parts[-2]) and parts[-3] else None


def _key(clip_id: str) -> str:
    """The id in a form that spreadsheets do not change: they save 00012 as 12 or 12.0."""
    *folders, name = composed(clip_id.strip()).split("/")
    name = whole_number(name)
    return "/".join([*folders, (name.lstrip("0") or "0") if name.isascii() and name.isdigit() else name])


def _file_and_column(given: str) -> tuple[Path, str | None]:
    """The file and the column of FILE or FILE:COLUMN; both may have colons."""
    if Path(given).is_file():
        return Path(given), None
    places = [place for place, letter in enumerate(given) if letter == ":"]
    for place in reversed(places):
        if Path(given[:place]).is_file():
            return Path(given[:place]), given[place + 1 :]
    raise InputError(f"--groups {given}: there is no such file\n{FORMS}")


def _read_csv(path: Path, column: str | None) -> tuple[str, Path, dict[str, str]]:
    """The name of the column, the file, and the value of each clip."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8\nSave it as CSV in UTF-8") from error
    if not text.strip():
        raise InputError(f"{path} is empty\nIt needs a header such as clip_id,scene and a row per clip")
    head = text.lstrip().splitlines()[0]
    delimiter = next((each for each in DELIMITERS if CLIP_ID in _names(head.split(each))), ",")
    rows = _rows(path, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    names = _names(next(rows)[1])
    chosen = _column(path, names, column)
    return chosen, path, _values(path, rows, names, chosen)


def _names(fields: Iterable[str]) -> list[str]:
    return [composed(each.strip().strip('"')) for each in fields]


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its number from 1. Raises InputError if the file is not CSV."""
    try:
        for number, row in enumerate(reader, start=1):
            if any(field.strip() for field in row):
                yield number, row
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error


def _column(path: Path, names: Sequence[str], column: str | None) -> str:
    """The name of the attribute's column. Raises InputError if it is not there or not determined."""
    others = [name for name in names if name and name != CLIP_ID]
    if CLIP_ID not in names:
        raise InputError(f"{path} has no column clip_id; its columns are {listed(others)}")
    if not others:
        raise InputError(f"{path} has no column besides clip_id")
    if column is None and len(others) > 1:
        raise InputError(
            f"{path} has several columns: {listed(others)}\nName one of them: --groups {path}:{others[0]}"
        )
    chosen = others[0] if column is None else composed(column.strip())
    if chosen not in others:
        raise unknown("column", chosen, others, where=f" in {path}")
    for name in (CLIP_ID, chosen):
        if names.count(name) > 1:
            raise InputError(f"{path} has two columns {name}")
    return chosen


def _values(
    path: Path, rows: Iterable[tuple[int, list[str]]], names: Sequence[str], column: str
) -> dict[str, str]:
    """The value of each clip, by the key of its id."""
    id_place, place = names.index(CLIP_ID), names.index(column)
    found: dict[str, tuple[str, int]] = {}
    for number, row in rows:
        if len(row) <= max(id_place, place) or not row[id_place].strip():
            raise InputError(f"{path}, row {number}: expected a clip_id and a value of {column}")
        clip = row[id_place].strip()
        value = composed(" ".join(row[place].split())) or NO_VALUE
        other, since = found.setdefault(_key(clip), (value, number))
        if other != value:
            raise InputError(
                f"{path}, row {number}: clip {clip} has {column} {value!r}, but {other!r} in row {since}"
            )
    if not found:
        raise InputError(f"{path} has no rows below its header")
    return {clip: value for clip, (value, _) in found.items()}
