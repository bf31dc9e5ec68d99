"""The number of processor cores, and how processes share them; imports no torch."""

from __future__ import annotations

import os
from typing import Literal

MOST_WORKERS = 16  # read clips fast enough for one GPU


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_of(wanted: int | Literal["auto"], processes: int = 1, available: int | None = None) -> int:
    """The number of workers that read clips for one of `processes` on this machine.

    `wanted` is the setting `workers`. A number is that of the machine and is divided, to at least one for
    each process if any are wanted. `auto` is the process's part of the `available` cores, by default all that
    this process may use, and at least 1 and at most 16.
    """
    if wanted == "auto":
        return min(MOST_WORKERS, max(1, (available or cores()) // processes))
    return -(-wanted // processes)
