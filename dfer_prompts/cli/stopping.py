"""SIGTERM, by which Slurm and others announce the end of a job, taken as Ctrl-C is."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Within it SIGTERM interrupts the work as Ctrl-C does; then SystemExit is raised with status 143.

    Does nothing where SIGTERM is ignored or handled already, or in another thread than the first.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_default():
        yield
        return
    had = {number: signal.getsignal(number) for number in _signals()}
    came = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        # A job's end is told to all of its processes, perhaps twice: what is being kept must not be cut off
        # by the second time, nor by what torch raises of workers that have ended.
        for other in _signals():
            signal.signal(other, _unheeded)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except SystemExit as ended:
        raise SystemExit(TERMINATED if came else ended.code) from None
    finally:
        for number, handler in had.items():
            signal.signal(number, handler)


def _is_default() -> bool:
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _signals() -> tuple[int, ...]:
    """More of it, once SIGTERM has come, and children that end."""
    return (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGCHLD)


def _unheeded(_number: int, _frame: FrameType | None) -> None:
    """A signal that changes nothing; ignored instead, one just come would be told of by Python."""
