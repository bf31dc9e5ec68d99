"""Atomic writing of files: after a crash a file is the old one or the new one, never a part of one."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ABANDONED_S = 3600.0  # no writer takes an hour over one file, or over one version
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; on success it is flushed and renamed over `path`, else removed.

    Raises OSError as the operating system does (full disk, read-only folder), with the name of `path`, which
    is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with named_as(path, temporary):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data`, a text in UTF-8. Raises OSError as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk. Raises OSError, FileExistsError if it exists."""
    with named_as(path, path), path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def named_as(path: Path, temporary: Path) -> Iterator[None]:
    """Make an OSError about the hidden file or folder `temporary`, or about none, one about `path`."""
    try:
        yield
    except OSError as error:
        # For a full disk the operating system does not say which file it was.
        if error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(temporary):
            error.filename, error.filename2 = str(path), None
        raise


def require_writable(folder: Path) -> None:
    """Check before paid requests that their results can be stored; leaves no file behind.

    Raises OSError, as writing into the folder would: it is read-only, or a file is in its place.
    """
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    probe = temporary_beside(existing / "probe")
    try:
        write_flushed(probe, b"")
        probe.unlink()
    except OSError as error:
        error.filename = str(folder)
        raise


def temporary_beside(path: Path) -> Path:
    """A unique hidden name in the same folder, for a file that is renamed to `path` when it is complete."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")


def sweep(folder: Path) -> None:
    """Remove temporary files that killed writers left in a folder (`temporary_beside`), after an hour."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and _is_abandoned(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED_S
    except FileNotFoundError:  # its writer has just renamed it
        return False
