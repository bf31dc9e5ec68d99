"""The one error hierarchy of both packages, and helpers that word its messages.

An error is one or two lines: what is wrong, where, and what to do. This module must not import torch;
`dfer_prompts.errors` re-exports it.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class DferError(Exception):
    """Base of all errors whose message is written for the user."""

    exit_status = 1


class InputError(DferError, ValueError):
    """The user's input is wrong: a name, a file, an option, a video. Exit status 2."""

    exit_status = 2


class NoFace(InputError):
    """A video can be read, and no face was found in it. Exit status 2."""


class WorkError(DferError, RuntimeError):
    """The input was valid and the work failed: a server, a full disk, a NaN loss. Exit status 1."""


class LostError(WorkError):
    """The system ended a process that the work needs; begun again, it may well succeed. Exit status 1."""


class OutOfMemory(WorkError):
    """The memory of the CPU or the GPU ran out; begun again, it would run out again. Exit status 1."""


class BusyError(WorkError):
    """Another process does this work now. Exit status 1."""


class FileError(InputError, OSError):
    """A file or folder is missing, or may not be read or written. Exit status 1, as of all OSErrors."""

    exit_status = 1


class DiskError(WorkError, OSError):
    """The operating system failed at valid work: a full disk, a read error. Exit status 1."""


class Interrupted(DferError):
    """Ctrl-C (exit status 130) or SIGTERM (143) stopped the work; says what is stored and how to continue."""

    exit_status = 130


class DeviceWarning(RuntimeWarning):
    """The computation is done on another device than the user may expect."""


def listed(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def system_words(error: OSError) -> str:
    """What the operating system says went wrong, and with which file."""
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text


_OF_INPUT = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EROFS, errno.EINVAL,
}  # fmt: skip


@contextmanager
def system_errors() -> Iterator[None]:
    """Turn an OSError within the block, or the function that this decorates, into one of this hierarchy.

    What concerns the name of a file or its permissions becomes FileError, which is an InputError, all else
    DiskError, which is a WorkError. Both remain OSErrors. BrokenPipeError passes: it concerns who prints.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DferError | BrokenPipeError):
            raise
        kind = FileError if error.errno in _OF_INPUT else DiskError
        raise kind(system_words(error)) from error
    except ValueError as error:
        if str(error) != "embedded null byte":
            raise
        raise FileError("the name of a file has a NUL character in it") from error


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """ "; did you mean paper?" for a name that is nearly one of `known`, else nothing.

    Of several that are near, at most `most` are listed, the nearest first.
    """
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> InputError:
    """An error for a name that does not exist: suggests the nearest, and lists what exists.

    `where` follows the name: " in mafw".

    >>> str(unknown("class set", "mawf", ["dfew", "mafw"]))
    "no class set 'mawf'; did you mean mafw?\\nThere are: dfew, mafw"
    """
    choices = list(known)
    # Rows of a table have commas in their names.
    between = "; " if any("," in choice for choice in choices) else ", "
    listing = between.join(choices) if choices else "none"
    return InputError(f"no {kind} {name!r}{where}{did_you_mean(name, choices)}\nThere are: {listing}")
