"""A lock on a run's folder: one process trains it at a time.

It is a file lock on `.lock`, which the system releases when a process ends or is killed. Between machines it
works if their shared file system supports locks. Imports no torch, so that a job finds out fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dfer_model.errors import BusyError
from dfer_model.runs import RunSpec

GRACE_S = 1.0  # longer than `taken` holds the lock


@contextmanager
def claimed(spec: RunSpec, runs: Path, folder: Path) -> Iterator[None]:
    """Lock the run's `folder` under `runs`, and remove temporary files of a killed process.

    Raises BusyError if another process trains the run, there or in a folder of another name.
    """
    _begin(spec, runs, folder)
    try:
        with FileLock(folder / ".lock", timeout=GRACE_S):
            for left in [*folder.glob(".*.[0-9]*"), *folder.glob("state/.*.[0-9]*")]:
                left.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise BusyError(_busy(folder)) from error


def _begin(spec: RunSpec, runs: Path, folder: Path) -> None:
    """Create the folder, unless another process has just created one for the same run with another name.

    If two processes see each other, both raise BusyError, so that never both train the run.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    others = [each for each in spec.folders(runs) if each != folder]
    if others:
        with suppress(OSError):  # a third process has started in it
            folder.rmdir()
        raise BusyError(_busy(others[0]))


def _busy(folder: Path) -> str:
    return f"another process is training {folder}\nWait for it, then give the same command again"


def taken(folder: Path) -> bool:
    """Whether a process is training the run in `folder`."""
    if not (folder / ".lock").is_file():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
