"""What this package raises at a person: one or two lines that say what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DferModelError(Exception):
    """Base of the errors whose text is written for the person at the terminal."""

    exit_status = 1


class InputError(DferModelError, ValueError):
    """What the user gave is wrong: a file, a folder, a setting, a video. Exit status 2."""

    exit_status = 2


class NoFace(InputError):
    """A video can be read, and no face was found in it. Exit status 2."""


class WorkError(DferModelError, RuntimeError):
    """The input was right and the work failed: a loss that is not finite, a full disk. Exit status 1."""


class LostError(WorkError):
    """The system ended a process that the work needs; begun again, it may well succeed. Exit status 1."""


class BusyError(WorkError):
    """Another process does this work now. Exit status 1."""


class Interrupted(DferModelError):
    """Ctrl-C (exit status 130) or SIGTERM (143) stopped the work; says what is kept and how to go on."""

    exit_status = 130


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """ "; did you mean paper?" for a name that is nearly one of `known`, else nothing.

    Of several that are near, at most `most` are said, the nearest first.
    """
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name that does not exist: suggests the nearest, and lists what exists.

    >>> str(unknown("preset", "papper", ["default", "paper"]))
    "no preset 'papper'; did you mean paper?\\nThere are: default, paper"
    """
    choices = list(known)
    return InputError(f"no {kind} {name!r}{did_you_mean(name, choices)}\nThere are: {', '.join(choices)}")
