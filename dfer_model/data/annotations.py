"""Label files as they are published: what each row says, and which fold each clip is in.

Several forms of the same files go about (with a header or without, numbers or names, from 0 or from 1, CRLF,
GBK). What can be told from a file is told from it; what cannot is asked for, never guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN, canonical_name
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
    """What one row of a label file says: a clip, its class, and its number of frames where the row has one.

    `parts` are the names that lead to the clip, the clip's own last; `where` is "file, line n".
    """

    parts: tuple[str, ...]
    class_name: str
    where: str
    clip_id: str = ""
    listed_frames: int | None = None


@dataclass(frozen=True)
class LabelFile:
    """One file, the training or the test list of a set (fold), and its rows as (line number, fields)."""

    path: Path
    is_test: bool
    number: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def where(self, line: int) -> str:
        """The words that point to a line of this file."""
        return f"{self.path}, line {line}"


def read_label_file(path: Path, columns: int = 2) -> LabelFile:
    """Read a label file whose rows have at least `columns` fields, between tabs, commas or spaces.

    Whether it is a training or a test list, and of which set, is told by its name, else by its folder's.
    Raises InputError when the file is missing, no text, has a short row, or is called neither or both.
    """
    is_test, number = _role(path)
    return LabelFile(path, is_test, number, read_rows(path, columns))


def read_rows(path: Path, columns: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """The rows of a text file as (line number, fields), without blank lines and the header."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    for line, text in enumerate(_read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        fields = _fields(text, columns)
        if len(fields) < columns:
            raise InputError(f"{path}, line {line}: expected {columns} fields, found {text.strip()[:80]!r}")
        if not rows and fields[columns - 1].casefold() in HEADER_WORDS:
            continue
        rows.append((line, fields))
    if not rows:
        raise InputError(f"{path} has no row")
    return tuple(rows)


def _read_text(path: Path) -> str:
    """The file's text: UTF-8 with or without a byte order mark, else GB 18030, which GBK is a part of."""
    if not path.is_file():
        raise InputError(f"no label file {path}")
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise InputError(f"{path} is not a text file of labels")


def _fields(text: str, columns: int) -> tuple[str, ...]:
    if "\t" in text:
        found = text.split("\t")
    elif "," in text and columns == 2:
        found = next(csv.reader([text]))
    else:
        found = text.strip().rsplit(None, columns - 1)  # a path may have spaces in it, what follows it not
    return tuple(field.strip() for field in found)


def _role(path: Path) -> tuple[bool, int]:
    """Whether the file is a test list, and its set's number (1 where none is said)."""
    names = (path.stem.casefold(), path.parent.name.casefold())
    for name in names:
        roles = {word for word in ("train", "test") if word in name}
        if len(roles) == 1:
            break
    else:
        raise InputError(
            f"cannot tell whether {path} lists training or test clips\n"
            "Its name, or its folder's, must have `train` or `test` in it, and `set_N` for fold N"
        )
    numbers = [int(found[1]) for name in names if (found := re.search(r"set[ _-]?([0-9]+)", name))]
    if numbers and numbers[0] < 1:
        raise InputError(f"{path}: sets are numbered from 1")
    return roles == {"test"}, numbers[0] if numbers else 1


def clip_parts(text: str, where: str) -> tuple[str, ...]:
    """The names in a path written in a label file, the clip's without a video's suffix.

    They are only ever compared with names found on the disk. Raises InputError when there is none.
    """
    parts = [part for part in PurePosixPath(text.replace("\\", "/")).parts if part not in ("/", ".")]
    if not parts or ".." in parts:
        raise InputError(f"{where}: {text[:80]!r} names no clip")
    last = PurePosixPath(parts[-1])
    if last.suffix.casefold() in VIDEO_SUFFIXES:
        parts[-1] = last.stem
    return tuple(parts)


def _padded(name: str, width: int) -> str:
    """A clip's number as its dataset writes it, with leading zeros; another name as it is."""
    return f"{int(name):0{width}d}" if name.isascii() and name.isdigit() else name


def _class_name(text: str, known: Sequence[str], where: str) -> str:
    name = canonical_name(text)
    if name in known:
        return str(name)
    hint = "; compound labels are those of mafw-compound" if name in COMPOUND else ""
    raise InputError(f"{where}: {text[:60]!r} is none of the classes {', '.join(known[:11])}{hint}")


def read_dfew(files: Sequence[LabelFile], label_base: int | None = None) -> list[list[Labelled]]:
    """DFEW: `video_name,label`, labels 1..7 (official) or 0..6 (re-published), told apart by a 7 or a 0.

    Raises InputError when the files hold both, or neither and `label_base` (0 or 1) is not given.
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
            f"label 0 ({zero}) and label 7 ({seven}) cannot stand together\n"
            "Give files of one form: labels 1..7 (official) or 0..6 (re-published)"
        )
    if given is not None:
        contradiction = zero if given == 1 else seven
        if contradiction:
            raise InputError(f"--label-base {given} contradicts {contradiction}")
        return given
    if labels and not zero and not seven:
        raise InputError(
            "the label files hold neither a 0 nor a 7, so their labels may start at 0 or at 1\n"
            "Say which: --label-base 1 (official files: happiness is 1) or --label-base 0"
        )
    return 0 if zero else 1


def read_ferv39k(
    files: Sequence[LabelFile], index: Sequence[tuple[int, tuple[str, ...]]] = ()
) -> list[list[Labelled]]:
    """FERV39k: `Action/Sad/0010 Sad`, or with a label number in whatever order, which the paths resolve.

    `index` holds the rows (class name, number) of a label index file. Raises InputError when a number and
    the emotion in its path, or a number and the index, do not agree.
    """
    meaning: dict[str, tuple[str, str]] = {}
    for line, (name, number, *_) in index:
        where = f"the label index, line {line}"
        meaning[number] = (_class_name(name, SEVEN, where), where)
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
                raise InputError(f"{where}: the path says {parts[1]}, the label {label}")
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


def read_mafw(files: Sequence[LabelFile], classes: Sequence[str]) -> list[list[Labelled]]:
    """MAFW: `00025.mp4 anger`, or four fields between tabs (file, label, Chinese, English)."""
    read = []
    for file in files:
        clips = []
        for line, (name, label, *_) in file.rows:
            where = file.where(line)
            clip_id = _padded(clip_parts(name, where)[-1], 5)
            clips.append(Labelled((clip_id,), _class_name(label, classes, where), where, clip_id))
        read.append(clips)
    return read


def read_frame_lists(files: Sequence[LabelFile]) -> list[list[Labelled]]:
    """DFER-CLIP's lists: `path number_of_frames label`, labels 0..10 in the order of the eleven classes.

    A clip's id is the last name of its path, or the last three where the one before it is a class (FERV39k).
    Raises InputError for a label outside 0..10, or one that disagrees with such a path.
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
                raise InputError(f"{where}: label {label} is {class_name}, but the path says {parts[-2]}")
            clip_id = "/".join(parts[-3:] if in_path else parts[-1:])
            clips.append(Labelled(parts, class_name, where, clip_id, int(count)))
        read.append(clips)
    return _with_distinct_ids(read)


def _with_distinct_ids(read: list[list[Labelled]]) -> list[list[Labelled]]:
    """The same rows; with whole paths as ids where different paths end in the same name."""
    paths: dict[str, tuple[str, ...]] = {}
    if all(paths.setdefault(clip.clip_id, clip.parts) == clip.parts for clips in read for clip in clips):
        return read
    return [[replace(clip, clip_id="/".join(clip.parts)) for clip in clips] for clips in read]
