"""Naming a file that is not what its name says: a Git LFS pointer, a web page. Imports no torch.

A repository cloned without Git LFS, or a download link opened without being logged in, leaves such a file
where the weights should be. A reader of weights says so instead of "invalid header".
"""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

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
