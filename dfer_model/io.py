"""Files: atomic writing, reading of JSON, and detection of files that are no weights. Imports no torch.

After a crash a written file is the old one or the new one, never a part of one. JSON may have been written or
damaged by others, so every error of parsing is turned into one that names the file. A repository cloned
without Git LFS, or a download link opened without being logged in, leaves a pointer or a web page where the
weights should be; `refuse_other_kinds` says so, before a reader of weights reports an "invalid header".
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

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


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError, with the file's name, for invalid JSON; OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path.name} is not valid JSON: nested too deeply") from error
    except ValueError as error:  # not JSON, not UTF-8, or a number with thousands of digits
        raise ValueError(f"{path.name} is not valid JSON: {' '.join(str(error).split())}") from error


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text. Raises InputError, whose message begins with `where`, for invalid JSON.

    As `strict_json`.
    """
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is not a JSON object: nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{where} is not a JSON object: {error}") from error


def strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError (json.JSONDecodeError for syntax) and RecursionError.

    Duplicate keys of an object are rejected, because one value would hide the other; so are NaN and Infinity,
    which are not valid JSON.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return made


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_HEAD = 512  # bytes


def refuse_other_kinds(path: Path) -> None:
    """Raises InputError where the file is empty, a Git LFS pointer, a web page or other text.

    A file that cannot be opened is left to the reader, whose message knows what it is needed for.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return
    kind = _kind(head, size)
    if kind is not None:
        raise InputError(f"{path} {kind}")


def _kind(head: bytes, size: int) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return (
            f"is a Git LFS pointer of {size} bytes, not the file itself\n"
            "Fetch the file: run `git lfs pull` in its repository, or download it"
        )
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return (
            f"is a web page (HTML, {size} bytes), not weights\n"
            "Download the file itself; the page may say why you got it (a login, a licence)"
        )
    if start.startswith((b"<?xml", b"<error")):
        return f"is XML ({size} bytes), not weights: perhaps the error of a server\nDownload the file again"
    if not size:
        return "is damaged: it is empty\nFetch the file again"
    if start.startswith((b"{", b"[")) and _is_text(head):
        return f"is JSON text ({size} bytes), not weights: perhaps an index or the error of a server"
    return None


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)
