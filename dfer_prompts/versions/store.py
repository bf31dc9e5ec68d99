"""Versions of description sets on disk: written atomically and never changed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfer_model.io import sweep, temporary_beside

from ..description_set import DescriptionSet, Manifest
from ..errors import InputError, system_errors, unknown
from ..workspace import SHIPPED_VERSIONS, Workspace, shipped
from .version_files import MANIFEST, ROWS, manifest_is_as_written, read_manifest, read_version, write_version

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class DescriptionStore:
    """The versions in a workspace's `descriptions/`, then the shipped ones."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.descriptions

    @system_errors()
    def list(self) -> list[str]:
        """The names of all versions in natural order: v2 before v10."""
        return sorted(self._found(), key=_natural)

    @system_errors()
    def load(self, ref: str) -> DescriptionSet:
        """The version or view: "v2", or "v2@4" for the top 4 of each class.

        Raises InputError if there is none, if a class has fewer descriptors, or if a file is invalid.
        """
        name, at, k = ref.partition("@")
        if at and not (k.isascii() and k.isdecimal() and len(k) < 5):
            raise InputError(
                f"{ref!r}: a number of descriptors per class is required after the @, such as {name}@4"
            )
        version = read_version(self.path(name), name)
        return version.top(int(k)) if at else version

    @system_errors()
    def path(self, name: str) -> Path:
        """The folder of a version; the workspace takes precedence. Raises InputError if there is none."""
        homes = [self._folder, shipped("descriptions")] if name in SHIPPED_VERSIONS else [self._folder]
        if _NAME.fullmatch(name):  # checked before it becomes part of a path
            for path in (home / name for home in homes):
                if _is_version(path):
                    return path
        raise unknown("description set", name, self.list())

    def _found(self) -> dict[str, Path]:
        own = {path.name: path for path in _versions(self._folder)}
        ours = [path for path in _versions(shipped("descriptions")) if path.name in SHIPPED_VERSIONS]
        return {path.name: path for path in ours} | own

    @system_errors()
    def next_name(self) -> str:
        """The name after the last of v1, v2, ...; folders with such a name count even if not versions."""
        own = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        taken = {*own, *SHIPPED_VERSIONS}
        numbers = [int(match[1]) for name in taken if (match := re.fullmatch(r"[vV](\d{1,9})", name))]
        return f"v{max(numbers, default=0) + 1}"

    @system_errors()
    def check_name(self, name: str) -> None:
        """Check the name of a new version. Raises InputError if it is taken or invalid."""
        if not _NAME.fullmatch(name) or name.endswith("."):
            raise InputError(
                f"a version cannot be named {name!r}\n"
                "Use up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit"
            )
        if _DEVICE.fullmatch(name):
            raise InputError(
                f"a version cannot be named {name!r}: the name is reserved on Windows\nChoose another name"
            )
        for existing in self.list():
            if existing.casefold() == name.casefold():
                raise _taken(name, existing)
        if os.path.lexists(self._folder / name):  # also a broken link
            raise _taken(name)

    @system_errors()
    def save(
        self, draft: DescriptionSet, name: str | None = None, responses: Sequence[Mapping[str, Any]] = ()
    ) -> DescriptionSet:
        """Write an unsaved set as a new version, named `name` or the next number, and return it.

        `responses` are the verbatim answers, one row each. Raises InputError if the name is taken or invalid
        or the folder is not writable, and WorkError if the disk fails; no files are left behind then.
        """
        if name is not None:
            self.check_name(name)
        chosen = name or self.next_name()
        while (manifest := self._write(chosen, draft, responses)) is None:
            if name is not None:
                raise _taken(name)
            chosen = self.next_name()
        return replace(draft, name=chosen, manifest=manifest)

    @system_errors()
    def verify(self, name: str) -> Sequence[str]:
        """Messages about changed, missing and additional files; empty if the version is unmodified.

        Hidden files are ignored. Raises InputError if there is no such version.
        """
        folder = self.path(name)
        try:
            manifest = read_manifest(folder)
        except InputError as error:
            return [str(error)]
        digests, problems = manifest.files, []
        if not manifest_is_as_written(folder, manifest):
            problems.append(f"{folder / MANIFEST} has changed since the version was written")
        for file, digest in digests.items():
            path = folder / Path(file).name
            if not path.is_file():
                problems.append(f"{path} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                problems.append(f"{path} has changed since the version was written")
        extra = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {
            MANIFEST,
            *digests,
        }
        problems += [f"{folder / file} does not belong to the version" for file in sorted(extra)]
        if not problems:  # a manifest without a digest may still not match the rows
            try:
                read_version(folder, name)
            except InputError as error:
                return [str(error)]
        return problems

    def _write(
        self, name: str, draft: DescriptionSet, responses: Sequence[Mapping[str, Any]]
    ) -> Manifest | None:
        """The manifest of the written version, or None if another process took the name first."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep(self._folder)
        temporary = temporary_beside(self._folder / name)
        try:
            temporary.mkdir()
            manifest = write_version(temporary, name, draft, responses)
            _flush(temporary)
            temporary.rename(self._folder / name)  # never replaces a folder that is not empty
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return None
                error.filename = str(self._folder / name)  # not the temporary folder, which is removed
            raise
        _flush(self._folder)
        return manifest


@system_errors()
def load(ref: str, workspace: Workspace | None = None) -> DescriptionSet:
    """Load the description set `ref` ("v1", "v2@4") of the workspace (default: current) or as shipped.

    Raises InputError if there is none, or if its files are invalid.
    """
    return DescriptionStore(workspace or Workspace.find()).load(ref)


def _is_version(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) and ((path / MANIFEST).is_file() or (path / ROWS).is_file())


def _versions(folder: Path) -> Sequence[Path]:
    return [path for path in folder.iterdir() if _is_version(path)] if folder.is_dir() else []


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = re.findall(r"\d+|\D+", name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _taken(name: str, existing: str | None = None) -> InputError:
    differs = f" (written {existing!r})" if existing not in (None, name) else ""
    return InputError(
        f"the description set {name!r} already exists{differs} and cannot be changed\nChoose another name"
    )


def _flush(folder: Path) -> None:
    """Flush a folder's entries to the disk if the operating system supports it (not Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
