"""How this process was started, alone or by torchrun as one of several, and its share of the machine's cores.

Imports no torch by itself, unlike `devices`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Literal

WAIT = timedelta(seconds=5)  # for the store of torchrun


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
    """The launch by the variables of torchrun, which `accelerate launch` sets too; alone without them."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = {name: int(value) for name in names if (value := os.environ.get(name, "")).isdecimal()}
    if "RANK" not in values or values.get("WORLD_SIZE", 1) < 2:
        return Launch()
    rank, count = values["RANK"], values["WORLD_SIZE"]
    return Launch(rank, count, values.get("LOCAL_RANK", rank), values.get("LOCAL_WORLD_SIZE", count))


def several_processes_requested() -> bool:
    """Whether `accelerate launch` was given a number of processes and started one, as it does with --cpu.

    It then sets the port of the group (MASTER_PORT), and no rank.
    """
    return "ACCELERATE_MIXED_PRECISION" in os.environ and {"MASTER_PORT", "RANK"} & {*os.environ} == {
        "MASTER_PORT"
    }


@cache
def reports_first() -> bool:
    """Whether this process prints the error that ends all of them: true for the first one that calls this.

    The others end because of it, or have the same error. They agree through the store of torchrun, which
    outlives them; without a store, the process of rank 0 prints.
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


def workers_of(requested: int | Literal["auto"], processes: int = 1, available: int | None = None) -> int:
    """The number of workers that read clips for one of `processes` on this machine.

    `wanted` is the setting `workers`. A number is that of the machine and is divided, to at least one for
    each process if any are wanted. `auto` is the process's part of the `available` cores, by default all that
    this process may use, and at least 1 and at most 16.
    """
    if requested == "auto":
        return min(MOST_WORKERS, max(1, (available or cores()) // processes))
    return -(-requested // processes)
