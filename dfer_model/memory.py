"""Free memory of a device, and recognising out-of-memory errors."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from dfer_model.errors import OutOfMemory

from .devices import device_name

GIB = 2**30
# Messages of torch's RuntimeErrors that have no type of their own.
OUT_OF_MEMORY_MESSAGES = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class Memory(NamedTuple):
    """Memory of a device in bytes: free for this process, and in total."""

    free: int
    total: int


def device_memory(device: torch.device) -> Memory | None:
    """The memory of a GPU, or of the machine for the CPU; None if unknown."""
    if device.type != "cuda":
        return machine_memory()
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return Memory(free + unused, total)


def machine_memory(root: Path = Path("/")) -> Memory | None:
    """The memory of this machine within the limits of this process's control groups, without swap.

    Free memory is known on Linux only; elsewhere all memory counts as free, or None is returned. `root` is
    the folder that contains /proc and /sys.
    """
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        sizes = {
            name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)
        }
        memory = Memory(sizes["MemAvailable"], sizes["MemTotal"])
    except (OSError, KeyError, ValueError, IndexError):
        try:
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
        return Memory(total, total)
    for limit, used in _limits(root):
        memory = Memory(min(memory.free, max(0, limit - used)), min(memory.total, limit))
    return memory


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, bytes in use) of each control group of this process, version 1 or 2, that has a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base) and (found := _limit(folder, *names)):
                yield found


def _limit(folder: Path, limit: str, used: str) -> tuple[int, int] | None:
    """Limit and usage of a control group, without reclaimable file pages; None without a limit."""
    try:
        bound, use = int((folder / limit).read_text("ascii")), int((folder / used).read_text("ascii"))
        facts = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):  # "max", or a group that is not visible here
        return None
    dropped = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    return bound, max(0, use - dropped)


def free_unused() -> None:
    """Return GPU memory that no tensor uses to the device; does nothing if this process has not used CUDA.

    Objects in reference cycles are collected first.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Whether an error means that a CPU or GPU ran out of memory."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        return isinstance(error, torch.OutOfMemoryError) or any(
            message in str(error) for message in OUT_OF_MEMORY_MESSAGES
        )
    return isinstance(error, MemoryError)


@contextmanager
def out_of_memory_error(device: torch.device, work: str, advice: str) -> Iterator[None]:
    """Turn out-of-memory errors into OutOfMemory: "memory ran out on DEVICE: WORK" and `advice`."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not ran_out(error):
            raise
        raise OutOfMemory(f"memory ran out on {device_name(device)}: {work}\n{advice}") from error


def in_gib(size: float) -> str:
    """Bytes as text: "3.1 GiB", "0.02 GiB"."""
    gib = size / GIB
    return f"{gib:.1f} GiB" if gib >= 0.1 else f"{gib:.2f} GiB"
