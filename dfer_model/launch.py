"""How this process was started: alone, or by torchrun as one of several. Imports no torch by itself.

The number of processor cores; apart from `devices`, which loads torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Literal

WAIT = timedelta(seconds=5)  # for the store that torchrun keeps, which is there or is not


@dataclass(frozen=True)
class Launch:
    """This process's place among those started together, in all and on this machine; ranks count from 0."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1


def launched() -> Launch:
    """What torchrun, or who speaks its language (`accelerate launch`, RANK and WORLD_SIZE), says of it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = {name: int(value) for name in names if (value := os.environ.get(name, "")).isdecimal()}
    if "RANK" not in values or values.get("WORLD_SIZE", 1) < 2:
        return Launch()
    rank, count = values["RANK"], values["WORLD_SIZE"]
    return Launch(rank, count, values.get("LOCAL_RANK", rank), values.get("LOCAL_WORLD_SIZE", count))


def several_processes_requested() -> bool:
    """Whether `accelerate launch` was told a number of processes and started one, as it does with --cpu.

    It then sets where they should have met, and no rank.
    """
    return "ACCELERATE_MIXED_PRECISION" in os.environ and {"MASTER_PORT", "RANK"} & {*os.environ} == {
        "MASTER_PORT"
    }


@cache
def first_to_say() -> bool:
    """Whether this process is the one that says why all of them end: the first of them that asks.

    The others end for its sake, or met the same. Asked in the store of torchrun, which outlives them; where
    there is none, the first process speaks.
    """
    launch = launched()
    if not launch.several:
        return True
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        store = TCPStore(address, port, timeout=WAIT)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return store.add(f"dfer-prompts/said/{attempt}", 1) == 1
    except (KeyError, ValueError, RuntimeError):
        return launch.rank == 0


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
