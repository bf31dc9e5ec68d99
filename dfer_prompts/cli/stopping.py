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
        for other, quiet in _signals().items():
            signal.signal(other, quiet)
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


def _signals() -> dict[int, signal.Handlers]:
    """What is done, once SIGTERM has come, about more of it and about children that end."""
    quiet: dict[int, signal.Handlers] = {signal.SIGTERM: signal.SIG_IGN}
    if sys.platform != "win32":
        quiet[signal.SIGCHLD] = signal.SIG_DFL
    return quiet
