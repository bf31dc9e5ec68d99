"""The exchange formats, what each cannot store, and import and export of description sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfer_model.io import write_atomically

from ...classes import ClassSet, canonical_class_name, class_set_of
from ...description_set import DescriptionSet, Manifest
from ...errors import InputError, system_errors, unknown
from . import sentence_lists, tables
from . import sentence_lists as sentences
from .file_content import LARGEST, Content, Members, unmarked
from .losses import losses

_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Format:
    """A file format: reader, writer, file name suffixes, and what it cannot store."""

    read: Callable[[bytes, str, Sequence[str] | None], Content]
    write: Callable[[DescriptionSet], bytes]
    suffixes: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def _named(read: Callable[[bytes, str], Content]) -> Callable[[bytes, str, Sequence[str] | None], Content]:
    """A reader of files that contain class names, so that the argument is not needed."""
    return lambda data, where, _: read(data, where)


_LISTS = ("members", "support", "wordings")
FORMATS = {
    "dclip": Format(_named(sentence_lists.read_dclip), sentence_lists.write_dclip, (".json",), _LISTS),
    "cupl": Format(
        _named(sentence_lists.read_cupl),
        sentence_lists.write_cupl,
        (".json",),
        ("descriptors", "support", "wordings"),
    ),
    "text": Format(
        sentences.read_text,
        sentences.write_text,
        (".txt",),
        ("names", "further members", "splits", "support", "wordings"),
    ),
    "csv": Format(_named(tables.read_csv), tables.write_csv, (".csv", ".tsv"), ("wordings", "formulas")),
    "yaml": Format(_named(tables.read_yaml), tables.write_yaml, (".yaml", ".yml")),
    "parquet": Format(_named(tables.read_parquet), tables.write_parquet, (".parquet",)),
}


@dataclass(frozen=True)
class Exported:
    """The content of a file in `format`; `notes` are messages about what it cannot store."""

    format: str
    data: bytes
    notes: list[str]


@dataclass(frozen=True)
class Imported:
    """An unsaved set read from a file in `format`; `notes` are messages about changed or ignored content."""

    draft: DescriptionSet
    format: str
    notes: list[str] = field(default_factory=list)


def export(descriptions: DescriptionSet, format: str) -> Exported:  # noqa: A002 - the option's word
    """The set as a file of one of `FORMATS`. Raises InputError for another format."""
    chosen = _format(format)
    return Exported(format, chosen.write(descriptions), losses(descriptions, chosen.lacks))


@system_errors()
def export_file(
    descriptions: DescriptionSet,
    path: Path | str,
    format: str | None = None,  # noqa: A002
) -> Exported:
    """Write the set to a new file, in the format of the file name suffix unless one is given.

    Raises InputError if the format is unknown or the file exists or cannot be written, and WorkError if the
    disk fails.
    """
    path = Path(path)
    exported = export(descriptions, format or _by_suffix(path))
    if path.exists():
        raise InputError(f"{path} already exists and is not overwritten\nChoose another name, or remove it")
    write_atomically(path, exported.data)
    return exported


@system_errors()
def import_file(
    path: Path | str,
    class_set: ClassSet | None = None,
    format: str | None = None,  # noqa: A002
    license: str = "unknown",  # noqa: A002
) -> Imported:
    """Read an unsaved description set from a file in one of `FORMATS`.

    With a class set, the file's class names are matched with its names and aliases, and each of its classes
    must be present; without, the set has the file's classes in their order. Missing content is not filled in.
    List markers before a text ("1. ", "- ", "happiness: ") are removed. Raises InputError that names the file
    and the problem.
    """
    path = Path(path)
    data = _bytes(path)
    chosen, notes = _format_of(path, data, format)
    names = class_set.names if class_set else None
    content = unmarked(_format(chosen).read(data, str(path), names), str(path))
    if class_set is None:
        class_set = _own_classes(path, content)
        members = content.members
    else:
        members = _matched(content.members, class_set, str(path))
    manifest = Manifest(
        class_set=class_set.as_manifest(),
        source="import",
        license=license,
        derivation={
            "command": "import",
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "format": chosen,
        },
    )
    frozen = {name: tuple(tuple(member) for member in members[name]) for name in class_set.names}
    draft = DescriptionSet("", class_set.names, frozen, manifest)
    return Imported(draft, chosen, [*notes, *content.notes])


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(
            f"{path} is a folder\nThe folder of a version needs no import: copy it into descriptions/"
        )
    if not path.exists():
        raise InputError(f"no file {path}")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file")
    with path.open("rb") as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST // 2**20} MiB, the limit for description sets")
    if not data:
        raise InputError(f"{path} is empty")
    return data


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    return FORMATS[name]


def _format_of(path: Path, data: bytes, given: str | None) -> tuple[str, list[str]]:
    if given is not None:
        return given, []
    if data.startswith(_PARQUET):
        return "parquet", []
    if path.suffix.casefold() != ".json":
        return _by_suffix(path), []
    if sentence_lists.looks_like_sentences(data, str(path)):
        return "cupl", [
            "read as cupl because its texts end like sentences; --format dclip reads them as descriptors"
        ]
    return "dclip", []


def _by_suffix(path: Path) -> str:
    found = [name for name, each in FORMATS.items() if path.suffix.casefold() in each.suffixes]
    if len(found) != 1:
        reason = f"{path.suffix} may be {' or '.join(found)}" if found else f"{path.name} has no known suffix"
        raise InputError(f"{reason}: give --format\nAvailable: {', '.join(FORMATS)}")
    return found[0]


def _own_classes(path: Path, content: Content) -> ClassSet:
    canonical: dict[str, str] = {}
    for name in content.members:
        other = canonical.setdefault(canonical_class_name(name).casefold(), name)
        if other != name:
            raise InputError(f"{path}: {other!r} and {name!r} are the same class")
    stem = "".join(filter(str.isprintable, path.stem)).strip()[:80]
    try:
        return class_set_of(stem or "imported", list(content.members))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _matched(members: dict[str, Members], class_set: ClassSet, where: str) -> dict[str, Members]:
    found: dict[str, str] = {}
    strange = []
    for name in members:
        try:
            match = class_set.resolve(name).name
        except InputError:
            strange.append(name)
            continue
        if match in found:
            raise InputError(f"{where}: {found[match]!r} and {name!r} are both {match} of {class_set.name}")
        found[match] = name
    missing = [name for name in class_set.names if name not in found]
    if strange or missing:
        raise InputError(_misfit(strange, missing, class_set, where))
    return {name: members[found[name]] for name in class_set.names}


def _misfit(strange: Sequence[str], missing: Sequence[str], class_set: ClassSet, where: str) -> str:
    parts = []
    if strange:
        parts.append(f"has {_listed([repr(name) for name in strange])}, which {class_set.name} does not have")
    if missing:
        parts.append(f"lacks {_listed(missing)}")
    return (
        f"{where} {', and '.join(parts)}\n"
        f"{class_set.name} is {_listed(class_set.names)}; without --classes the file's classes are used"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
