"""SIGTERM, by which Slurm and others announce the end of a job, taken as Ctrl-C is."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
LOST_S = 5.0  # after which an interrupt that nothing deals with was lost


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Within it SIGTERM interrupts the work as Ctrl-C does; then SystemExit is raised with status 143.

    Does nothing where SIGTERM is ignored or handled already, or in another thread than the first.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_default():
        yield
        return
    had = {number: signal.getsignal(number) for number in _signals()}
    came: float | None = None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        # A job's end is told to all of its processes, perhaps twice: what is being kept must not be cut off
        # by the second time, nor by what torch raises of workers that have ended.
        if came is not None and (time.monotonic() - came < LOST_S or _is_dealt_with()):
            return
        came = time.monotonic()
        for other in _signals()[1:]:
            signal.signal(other, _unheeded)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except SystemExit as ended:
        raise SystemExit(ended.code if came is None else TERMINATED) from None
    finally:
        for number, handler in had.items():
            signal.signal(number, handler)


def _is_default() -> bool:
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _signals() -> tuple[int, ...]:
    """SIGTERM, and what is not heeded once it has come: children that end."""
    return (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGCHLD)


def _is_dealt_with() -> bool:
    """Whether an interrupt is being handled; a library may have let it fall instead, as numpy can."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _unheeded(_number: int, _frame: FrameType | None) -> None:
    """A signal that changes nothing; ignored instead, one just come would be told of by Python."""
