"""SIGTERM, which Slurm and others send before they end a job, handled like Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
LOST_S = 5.0  # after which an unhandled interrupt counts as lost


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM interrupts like Ctrl-C; then SystemExit is raised with status 143.

    Does nothing if SIGTERM is ignored or handled already, or outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_default():
        yield
        return
    had = {number: signal.getsignal(number) for number in _signals()}
    came: float | None = None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        # All processes of a job receive the signal, perhaps twice: the second one must not interrupt the
        # saving, nor may the errors that torch raises for workers that have ended.
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
    """SIGTERM, and SIGCHLD, which is ignored after it."""
    return (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGCHLD)


def _is_dealt_with() -> bool:
    """Whether an interrupt is being handled; a library such as numpy may have dropped it."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _unheeded(_number: int, _frame: FrameType | None) -> None:
    """A handler that does nothing; with SIG_IGN, Python would still report a signal just received."""
