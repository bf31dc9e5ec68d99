"""The processes that read clips: which clip each of them took last, and what to say when one is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import signal_handling

from dfer_model.data.dataset import ClipDataset
from dfer_model.errors import LostError, WorkError

from .shared_memory import is_shared_memory_error, shared_memory_error

# A process's connections are closed by the system a moment before it is known to have ended.
SECONDS_TO_END = 2


class Readers:
    """The `workers` of a DataLoader over `dataset`; what they note is in memory that all processes share."""

    def __init__(self, dataset: ClipDataset, workers: int) -> None:
        self.dataset = dataset
        self.taken = torch.zeros(workers, 2, dtype=torch.int64)  # of each its process, and its last position
        self.taken.share_memory_()  # type: ignore[no-untyped-call]
        self.processes: set[BaseProcess] = set()

    def take(self, position: int) -> None:
        """Note, in a worker, that it reads this clip of the dataset now."""
        worker = get_worker_info()
        if worker is not None:
            self.taken[worker.id] = torch.tensor([os.getpid(), position])

    def given(self, loader: DataLoader[Any]) -> Iterator[Any]:
        """What the loader gives; raises LostError that names the clip when the system has ended a worker.

        The error comes where the next batch is asked for, and nowhere else.
        """
        try:
            before = set(active_children())
            with _not_interrupting():
                batches = iter(loader)
            self.processes = set(active_children()) - before or self.processes
            yield from batches
        except (RuntimeError, OSError, EOFError) as error:
            if is_shared_memory_error(error):
                raise WorkError(shared_memory_error()) from error
            ended = self._ended()
            if not ended:
                raise
            raise LostError(self._told(ended)) from error

    def _ended(self) -> set[int]:
        """The process ids of workers that did not end by themselves."""
        if not any(process.exitcode for process in self.processes):
            alive = {process.sentinel: process for process in self.processes if process.exitcode is None}
            for sentinel in wait(list(alive), SECONDS_TO_END):
                alive[sentinel].join()  # type: ignore[index]
        return {process.pid for process in self.processes if process.exitcode and process.pid}

    def _told(self, ended: set[int]) -> str:
        """What to say of workers that were ended, in two lines."""
        of = self.dataset
        rows = [(int(process), int(position)) for process, position in self.taken]
        clips = [of.clips.clip_ids[of.indices[position]] for process, position in rows if process in ended]
        if any(process.exitcode == -signal.SIGBUS for process in self.processes):
            return shared_memory_error()
        return (
            f"a process that reads clips was ended by the system, at clip {' and '.join(clips) or 'none'}\n"
            "Memory may have run out: give it fewer processes, --set workers=N, or look at that clip"
        )


@contextmanager
def _not_interrupting() -> Iterator[None]:
    """Let a DataLoader begin, but not raise a worker's end in the midst of whatever is computed then.

    Its handler of SIGCHLD does that, once, wherever the main thread is, in an `except` too; a worker's end
    is found as well when the next batch is asked for. One that another DataLoader has put there goes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == signal_handling.__name__:
        handler = signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
