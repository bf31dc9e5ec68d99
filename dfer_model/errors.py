"""What this package raises at a person: one or two lines that say what is wrong, where, and what to do."""

from __future__ import annotations


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
