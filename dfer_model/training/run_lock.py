"""Who trains a run: one process at a time, whatever machine it is on, until it ends or is killed.

The claim is a lock on `.lock` in the run's folder, which the system takes from a process that dies. Between
machines it holds where their shared file system has locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dfer_model.errors import BusyError
from dfer_model.runs import RunSpec

GRACE_S = 1.0  # longer than who asks `taken` holds a lock


@contextmanager
def claimed(spec: RunSpec, runs: Path, folder: Path) -> Iterator[None]:
    """Hold the run's `folder` under `runs`, and clear what a killed process left half written there.

    Raises BusyError where another process trains the run, there or just now under another name.
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
    """Make the folder, unless another process has just made one for the same run under another name.

    Two that see each other both give way, and are asked again: better than both going on.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    others = [each for each in spec.folders(runs) if each != folder]
    if others:
        with suppress(OSError):  # a third process has begun in it
            folder.rmdir()
        raise BusyError(_busy(others[0]))


def _busy(folder: Path) -> str:
    return f"another process is training {folder}\nWait for it, then give the same command again"


def taken(folder: Path) -> bool:
    """Whether a process trains the run in `folder` now."""
    if not (folder / ".lock").is_file():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
