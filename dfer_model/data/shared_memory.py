"""Shared memory in /dev/shm, through which workers pass batches; containers limit it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from dfer_model.errors import InputError
from dfer_model.memory import in_gib

SHARED = Path("/dev/shm")  # noqa: S108 - where Linux keeps it, nothing is created here
PREFETCHED = 2  # batches that a DataLoader's worker prefetches
ADVICE = "Give a container more with --shm-size=8g (or --ipc=host), or read without workers: --set workers=0"


def shared_memory_note(batch: int, workers: int, folder: Path = SHARED) -> str:
    """A warning if `workers` may not have room for batches of this many bytes, else "".

    Raises InputError if there is no room for a single batch.
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
    fewer = f"--set workers={fit} fits" if fit else "--set workers=0 does not use it"
    return (
        f"{folder} has {in_gib(free)} free, and the batches of {workers} workers may take {in_gib(need)}; "
        f"{fewer}, and a container gets more with --shm-size or --ipc=host"
    )


def batch_buffer(size: int) -> Tensor:
    """Uint8 (size,), not initialised; in a worker in shared memory, so that sending it copies nothing.

    As torch's `default_collate`, whose tensors have one shape.
    """
    if get_worker_info() is None:
        return torch.empty(size, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, (size,), (1,))


def is_shared_memory_error(error: BaseException) -> bool:
    """Whether torch's error means that shared memory could not be allocated."""
    return "</torch_" in str(error)  # torch's names of the files there, whichever call failed


def shared_memory_error() -> str:
    """The error message for it."""
    return f"the shared memory in {SHARED} is too small for the batches of the workers\n{ADVICE}"
