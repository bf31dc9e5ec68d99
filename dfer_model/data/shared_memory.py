"""Shared memory in /dev/shm, through which workers hand over batches; containers keep it small."""

from __future__ import annotations

import shutil
from pathlib import Path

from dfer_model.errors import InputError
from dfer_model.memory import in_gib

SHARED = Path("/dev/shm")  # noqa: S108 - where Linux keeps it, nothing is created here
PREFETCHED = 2  # batches that a DataLoader's worker holds ready
ADVICE = "Give a container more with --shm-size=8g (or --ipc=host), or read without workers: --set workers=0"


def shared_memory_note(batch: int, workers: int, folder: Path = SHARED) -> str:
    """What to say before `workers` hand over batches of so many bytes; "" where there is room for them.

    Raises InputError where not even one batch has room.
    """
    if not workers or not folder.is_dir():
        return ""
    free = shutil.disk_usage(folder).free
    if free < batch:
        raise InputError(f"{folder} has {in_gib(free)} free, and a batch takes {in_gib(batch)}\n{ADVICE}")
    need = batch * (PREFETCHED * workers + 1)
    if free >= need:
        return ""
    fit = (free // batch - 1) // PREFETCHED
    fewer = f"--set workers={fit} fits" if fit else "--set workers=0 does without it"
    return (
        f"{folder} has {in_gib(free)} free, and the batches of {workers} workers may take {in_gib(need)}; "
        f"{fewer}, and a container gets more with --shm-size or --ipc=host"
    )


def is_shared_memory_error(error: BaseException) -> bool:
    """Whether torch says that shared memory could not be had."""
    return "</torch_" in str(error)  # so torch names the files there, whichever call failed


def shared_memory_error() -> str:
    """What to say of that, in two lines."""
    return f"the shared memory in {SHARED} is too small for the batches that workers hand over\n{ADVICE}"
