"""Read and write the files of a version: rows, manifest and card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from dfer_model.io import parse_json, write_flushed

from ..description_set import FORMAT_VERSION, Count, DescriptionSet, Descriptor, Manifest
from ..errors import InputError
from ..normalize import normal_form
from ..yaml_files import first_problem, read_yaml
from .card import card

ROWS, RESPONSES, MANIFEST, CARD = "descriptors.jsonl", "responses.jsonl", "manifest.yaml", "README.md"

_ZEROS = "0" * 64


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    class_name: str
    label: Count
    member: Count
    rank: Count
    descriptor: str
    support: Count
    samples: Count
    wordings: list[str] = []
    normal_form: str = ""


def write_version(
    folder: Path, name: str, draft: DescriptionSet, responses: Sequence[Mapping[str, Any]]
) -> Manifest:
    """Write all files of a version to an empty folder, flushed to the disk; return its manifest."""
    class_set = {**draft.manifest.class_set, "class_names": list(draft.class_names)}
    manifest = draft.manifest.model_copy(update={"class_set": class_set, "files": {}})
    contents = {ROWS: _json_lines(row.model_dump() for row in _rows(draft))}
    if responses:
        contents[RESPONSES] = _json_lines(responses)
    contents[CARD] = card(name, draft, manifest, has_responses=bool(responses))
    digests = {file: hashlib.sha256(_encoded(text)).hexdigest() for file, text in contents.items()}
    manifest = manifest.model_copy(update={"files": dict(sorted(digests.items())), "manifest_sha256": _ZEROS})
    before, _, after = _yaml(manifest.model_dump(mode="json", exclude_none=True)).rpartition(_ZEROS)
    own = hashlib.sha256(_encoded(f"{before}{_ZEROS}{after}")).hexdigest()
    manifest = manifest.model_copy(update={"manifest_sha256": own})
    contents[MANIFEST] = f"{before}{own}{after}"
    for file, text in contents.items():
        write_flushed(folder / file, _encoded(text))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a version's folder. Raises InputError that names the file and the problem."""
    path = folder / MANIFEST
    try:
        loaded = read_yaml(path, "a manifest consists of `key: value` lines")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing, so the version {folder.name} cannot be read") from error
    version = loaded.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format {version}; this dfer-prompts reads formats up to {FORMAT_VERSION}: upgrade it"
        )
    try:
        return Manifest.model_validate(loaded)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error


def manifest_is_as_written(folder: Path, manifest: Manifest) -> bool:
    """Whether the manifest file has the digest stated in it; True if it states none."""
    if manifest.manifest_sha256 is None:
        return True
    own = manifest.manifest_sha256.encode("ascii", "replace")
    data = (folder / MANIFEST).read_bytes().replace(own, _ZEROS.encode())
    return hashlib.sha256(data).hexdigest() == manifest.manifest_sha256


def read_version(folder: Path, name: str) -> DescriptionSet:
    """The description set in a version's folder.

    Raises InputError that names the missing or invalid file, and the line.
    """
    manifest = read_manifest(folder)
    path = folder / ROWS
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the version {name} has no descriptors") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    class_names = tuple(manifest.class_set["class_names"])
    members: dict[str, list[list[Descriptor]]] = {each: [] for each in class_names}
    for number, line in enumerate(lines, start=1):
        row = _row(line, f"{path}, line {number}")
        _place(row, members, class_names, f"{path}, line {number}")
    frozen = {each: tuple(tuple(member) for member in listed) for each, listed in members.items()}
    return DescriptionSet(name, class_names, frozen, manifest)


def _row(line: str, where: str) -> _Row:
    try:
        return _Row.model_validate(parse_json(line, where))
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from error


def _place(
    row: _Row, members: dict[str, list[list[Descriptor]]], class_names: Sequence[str], where: str
) -> None:
    if row.class_name not in members:
        raise InputError(f"{where}: the class {row.class_name!r} is not in {MANIFEST}")
    if row.label != class_names.index(row.class_name):
        raise InputError(f"{where}: label {row.label} is not the index of {row.class_name!r} in {MANIFEST}")
    listed = members[row.class_name]
    if row.member == len(listed):
        listed.append([])
    if row.member != len(listed) - 1 or row.rank != len(listed[-1]) + 1:
        raise InputError(
            f"{where}: member {row.member}, rank {row.rank} of {row.class_name!r} is out of order"
        )
    listed[-1].append(Descriptor(row.descriptor, row.rank, row.support, row.samples, tuple(row.wordings)))


def _rows(draft: DescriptionSet) -> Iterable[_Row]:
    for label, name in enumerate(draft.class_names):
        for number, member in enumerate(draft.members[name]):
            for each in member:
                yield _Row(
                    class_name=name,
                    label=label,
                    member=number,
                    rank=each.rank,
                    descriptor=each.text,
                    support=each.support,
                    samples=each.samples,
                    wordings=list(each.wordings),
                    normal_form=normal_form(each.text),
                )


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(_escaped(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


def _escaped(line: str) -> str:
    """The JSON with all unprintable characters escaped, not only JSON's control characters."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100)


def _encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which an answer may contain, as a JSON escape."""
    return text.encode("utf-8", "backslashreplace")
