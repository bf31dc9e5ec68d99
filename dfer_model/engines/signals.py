"""Ctrl-C and SIGTERM while jobs are begun or ended, which must not stop half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unbroken() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM that come meanwhile do at the end of the block what they would have done before.

    Processes begun in it do not hear the terminal's Ctrl-C, which goes to the whole group. In another thread
    than the first, where neither is heard, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    had = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda number, _frame: came.append(number))
    # Blocked for those begun here; SIGTERM is not, for it is what ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in had.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
