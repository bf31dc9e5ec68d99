"""Reading published label files: the class of each clip, and the fold of each list.

The same files exist in several forms (with or without header, numbers or names, from 0 or from 1, CRLF, GBK).
The form is detected from the file if possible; otherwise the user must give it. It is never guessed.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN, canonical_name, composed
from dfer_model.errors import InputError

HEADER_WORDS = frozenset(
    ("label", "labels", "id", "class", "class_name", "emotion", "expression", "annotation", "fold")
)
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv"),
        *(
            ".ts",
            ".mts",
            ".m2ts",
            ".vob",
            ".mxf",
            ".dv",
            ".3gp",
            ".3g2",
            ".ogv",
            ".gif",
            ".webp",
            ".asf",
            ".f4v",
        ),
        *(".mpe", ".m2v", ".qt", ".divx", ".rm", ".rmvb", ".ivf", ".nut", ".h264", ".264", ".hevc", ".265"),
    )
)


@dataclass(frozen=True)
class Labelled:
    """A row of a label file: a clip, its class, and its number of frames if given.

    `parts` are the names in the path of the clip, its own last; `where` is "file, line n".
    """

    parts: tuple[str, ...]
    class_name: str
    where: str
    clip_id: str = ""
    listed_frames: int | None = None


Role = Literal["train", "val", "test"]
Rows = tuple[tuple[int, tuple[str, ...]], ...]  # (line number, fields)
THREE_FIELDS = (
    "A frame list has rows `path number_of_frames label`; give lists of `path label` (as MAE-DFER's) to the "
    "layout dfew, ferv39k or mafw: --labels FILE"
)
DELIMITERS = ("\t", ";", ",")
# An integer that a spreadsheet saved as a float: "12.0".
_WHOLE = re.compile(r"(-?[0-9]+)\.0+")
_VALIDATION = re.compile(r"(?<![a-z])(?:val|valid|validation|dev)(?![a-z])")
_SET_NUMBER = re.compile(r"(?:set|split|fold)[ _-]?([0-9]+)")


@dataclass(frozen=True)
class LabelFile:
    """One file: the training, validation or test list of a set (fold), and its rows."""

    path: Path
    role: Role
    number: int
    rows: Rows

    @property
    def is_test(self) -> bool:
        """Whether it is a test list."""
        return self.role == "test"

    def where(self, line: int) -> str:
        """The position of a line of this file for messages."""
        return f"{self.path}, line {line}"


def read_label_file(path: Path, columns: int = 2) -> LabelFile:
    """Read a label file whose rows have at least `columns` fields, between tabs, `;`, commas or spaces.

    Its name, or else its folder's, gives its role (training, validation or test) and its set. Raises
    InputError if the file is missing, is not text, has a short row, or its role is unknown.
    """
    role = role_of(path)
    if role is None:
        raise InputError(
            f"cannot tell whether {path} lists training or test clips\n"
            "Its name, or its folder's, must have `train`, `val` or `test` in it, and `set_N` for fold N"
        )
    return LabelFile(path, role, _set_number(path), read_rows(path, columns))


def read_rows(path: Path, columns: int) -> Rows:
    """The rows of a text file as (line number, fields), without blank lines and the header.

    Integers saved as floats ("12.0") are returned as integers.
    """
    rows: list[tuple[int, tuple[str, ...]]] = []
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        fields = _fields(text, columns)
        if len(fields) < columns:
            advice = "\n" + THREE_FIELDS if columns == 3 else ""
            raise InputError(
                f"{path}, line {line}: expected {columns} fields, found {text.strip()[:80]!r}{advice}"
            )
        if not rows and fields[columns - 1].casefold() in HEADER_WORDS:
            continue
        rows.append((line, fields))
    if not rows:
        raise InputError(f"{path} has no row")
    return tuple(rows)


def read_text(path: Path) -> str:
    """The file's text: UTF-16 with a byte order mark, UTF-8, or GB 18030, which includes GBK."""
    if not path.is_file():
        raise InputError(f"no label file {path}")
    raw = path.read_bytes()
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise InputError(f"{path} is not a text file of labels\nSave it as text in UTF-8")


def _fields(text: str, columns: int) -> tuple[str, ...]:
    for delimiter in DELIMITERS:
        found = text.split(delimiter) if delimiter == "\t" else next(csv.reader([text], delimiter=delimiter))
        # Paths in frame lists may contain commas; their rows have exactly three fields.
        if len(found) == columns or (len(found) > columns == 2):
            break
    else:
        found = text.strip().rsplit(None, columns - 1)  # the path may contain spaces, the other fields not
    return tuple(whole_number(field.strip()) for field in found)


def whole_number(text: str) -> str:
    """ "12" for "12.0", other texts unchanged."""
    found = _WHOLE.fullmatch(text)
    return found[1] if found else text


def role_of(path: Path) -> Role | None:
    """The role of a list by its name, else by its folder's; None if unknown or ambiguous."""
    for name in (path.stem.casefold(), path.parent.name.casefold()):
        roles: set[Role] = {role for role in ("train", "test") if role in name}
        if _VALIDATION.search(name):
            roles.add("val")
        if len(roles) == 1:
            return roles.pop()
    return None


def _set_number(path: Path) -> int:
    """The number of the file's set by its name, else by its folder's; 1 if not given."""
    for name in (path.stem.casefold(), path.parent.name.casefold()):
        if found := _SET_NUMBER.search(name):
            if int(found[1]) < 1:
                raise InputError(f"{path}: sets are numbered from 1")
            return int(found[1])
    return 1


def clip_parts(text: str, where: str) -> tuple[str, ...]:
    """The names in a path written in a label file, the clip's without a video's suffix.

    They are in Unicode's composed form (NFC), and only compared with names on the disk. Raises InputError if
    there is none.
    """
    parts = [
        part for part in PurePosixPath(composed(text).replace("\\", "/")).parts if part not in ("/", ".")
    ]
    if not parts or ".." in parts:
        raise InputError(f"{where}: {text[:80]!r} names no clip")
    last = PurePosixPath(parts[-1])
    parts[-1] = whole_number(last.stem if last.suffix.casefold() in VIDEO_SUFFIXES else last.name)
    return tuple(parts)


def _padded(name: str, width: int) -> str:
    """A clip's number with the leading zeros of its dataset; other names unchanged."""
    return f"{int(name):0{width}d}" if name.isascii() and name.isdigit() else name


def _class_name(text: str, known: Sequence[str], where: str) -> str:
    name = canonical_name(text)
    if name in known:
        return str(name)
    hint = "; compound labels are those of mafw-compound" if name in COMPOUND else ""
    raise InputError(f"{where}: {text[:60]!r} is none of the classes {', '.join(known[:11])}{hint}")


def _meant(index: Rows, known: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Label number -> (class name, its line), from the rows (class name, number) of an index."""
    meaning: dict[str, tuple[str, str]] = {}
    for line, (name, number, *_) in index:
        where = f"the label index, line {line}"
        meaning[number] = (_class_name(name, known, where), where)
    return meaning


def read_dfew(files: Sequence[LabelFile], label_base: int | None = None) -> list[list[Labelled]]:
    """DFEW: `video_name,label`, labels 1..7 (official) or 0..6 (re-published), recognised by a 7 or a 0.

    Raises InputError if the files contain both, or neither and `label_base` (0 or 1) is not given.
    """
    numbered = [
        (file, line, fields)
        for file in files
        for line, fields in file.rows
        if fields[1].lstrip("-").isdigit()
    ]
    base = _label_base([(int(fields[1]), file.where(line)) for file, line, fields in numbered], label_base)
    read = []
    for file in files:
        clips = []
        for line, (name, label, *_) in file.rows:
            where = file.where(line)
            if label.lstrip("-").isdigit():
                number = int(label) - base
                if not 0 <= number < len(SEVEN):
                    raise InputError(f"{where}: label {label} is outside {base}..{base + 6}")
                class_name = SEVEN[number]
            else:
                class_name = _class_name(label, SEVEN, where)
            clip_id = _padded(clip_parts(name, where)[-1], 5)
            clips.append(Labelled((clip_id,), class_name, where, clip_id))
        read.append(clips)
    return read


def _label_base(labels: Sequence[tuple[int, str]], given: int | None) -> int:
    zero = next((where for label, where in labels if label == 0), None)
    seven = next((where for label, where in labels if label == 7), None)
    if zero and seven:
        raise InputError(
            f"label 0 ({zero}) and label 7 ({seven}) are from different numberings\n"
            "Give files with one numbering: labels 1..7 (official) or 0..6 (re-published)"
        )
    if given is not None:
        contradiction = zero if given == 1 else seven
        if contradiction:
            raise InputError(f"--label-base {given} contradicts {contradiction}")
        return given
    if labels and not zero and not seven:
        raise InputError(
            "the label files contain neither a 0 nor a 7, so their labels may start at 0 or at 1\n"
            "Give --label-base 1 (official files: happiness is 1) or --label-base 0"
        )
    return 0 if zero else 1


def read_ferv39k(files: Sequence[LabelFile], index: Rows = ()) -> list[list[Labelled]]:
    """FERV39k: `Action/Sad/0010 Sad`, or with a label number in any order, which the paths resolve.

    `index` contains the rows (class name, number) of a label index file. Raises InputError if a number
    contradicts the emotion in its path or the index.
    """
    meaning = _meant(index, SEVEN)
    read = []
    for file in files:
        clips = []
        for line, (text, label, *_) in file.rows:
            where = file.where(line)
            parts = clip_parts(text, where)[-3:]
            if len(parts) < 3:
                raise InputError(f"{where}: expected Scene/Emotion/NNNN, found {text[:80]!r}")
            class_name = _class_name(parts[1], SEVEN, where)
            if label.isdigit():
                meant, since = meaning.setdefault(label, (class_name, where))
                if meant != class_name:
                    raise InputError(
                        f"{where}: label {label} is {class_name} by the path, {meant} by {since}"
                    )
            elif _class_name(label, SEVEN, where) != class_name:
                raise InputError(f"{where}: the path has {parts[1]}, the label is {label}")
            scene, emotion, clip = parts
            clips.append(Labelled(parts, class_name, where, f"{scene}/{emotion}/{_padded(clip, 4)}"))
        read.append(clips)
    _check_one_number_a_class(meaning)
    return read


def _check_one_number_a_class(meaning: dict[str, tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for number, (class_name, where) in meaning.items():
        if class_name in seen:
            raise InputError(f"{where}: {class_name} has label {number}, but also label {seen[class_name]}")
        seen[class_name] = number


def read_mafw(files: Sequence[LabelFile], classes: Sequence[str], index: Rows = ()) -> list[list[Labelled]]:
    """MAFW: `00025.mp4 anger`, or four fields between tabs (file, label, Chinese, English).

    Labels may be numbers that `index`, rows of (class name, number), defines. Raises InputError for a number
    that is not in it, and for an unknown class.
    """
    meaning = _meant(index, classes)
    _check_one_number_a_class(meaning)
    read = []
    for file in files:
        clips = []
        for line, (name, label, *_) in file.rows:
            where = file.where(line)
            clip_id = _padded(clip_parts(name, where)[-1], 5)
            class_name = _meaning_of(label, meaning, where) or _class_name(label, classes, where)
            clips.append(Labelled((clip_id,), class_name, where, clip_id))
        read.append(clips)
    return read


def _meaning_of(label: str, meaning: Mapping[str, tuple[str, str]], where: str) -> str | None:
    """The class of a label number; None for a label that is not a number."""
    if not label.isdigit():
        return None
    if label not in meaning:
        raise InputError(
            f"{where}: label {label} is a number, and MAFW's classes are numbered in several orders\n"
            "Define them in another file of rows such as `anger 0`: --labels FILE, in addition to the lists"
        )
    return meaning[label][0]


def read_frame_lists(files: Sequence[LabelFile]) -> list[list[Labelled]]:
    """DFER-CLIP's lists: `path number_of_frames label`, labels 0..10 in the order of the eleven classes.

    A clip's id is the last name of its path, or the last three names if the one before it is a class
    (FERV39k). Raises InputError for a label outside 0..10, or one that contradicts such a path.
    """
    read = []
    for file in files:
        clips = []
        for line, (text, count, label) in file.rows:
            where = file.where(line)
            parts = clip_parts(text, where)
            if not (label.isdigit() and int(label) < len(ELEVEN)) or not count.isdigit():
                raise InputError(f"{where}: expected `path number_of_frames label` with a label 0..10")
            class_name = ELEVEN[int(label)]
            in_path = canonical_name(parts[-2]) if len(parts) > 2 else None
            if in_path and in_path != class_name:
                raise InputError(f"{where}: label {label} is {class_name}, but the path has {parts[-2]}")
            clip_id = "/".join(parts[-3:] if in_path else parts[-1:])
            clips.append(Labelled(parts, class_name, where, clip_id, int(count)))
        read.append(clips)
    return _with_distinct_ids(read)


def _with_distinct_ids(read: list[list[Labelled]]) -> list[list[Labelled]]:
    """The same rows, with whole paths as ids if different paths end in the same name."""
    paths: dict[str, tuple[str, ...]] = {}
    if all(paths.setdefault(clip.clip_id, clip.parts) == clip.parts for clips in read for clip in clips):
        return read
    return [[replace(clip, clip_id="/".join(clip.parts)) for clip in clips] for clips in read]
