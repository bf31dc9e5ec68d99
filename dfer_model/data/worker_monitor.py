"""Monitoring worker processes: the last clip of each, for the message when one is killed."""

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

# The system closes a process's connections shortly before its end is known.
SECONDS_TO_END = 2


class Readers:
    """The `workers` of a DataLoader over `dataset`; their records are in shared memory."""

    def __init__(self, dataset: ClipDataset, workers: int) -> None:
        self.dataset = dataset
        self.taken = torch.zeros(workers, 2, dtype=torch.int64)  # process id and last position of each
        self.taken.share_memory_()  # type: ignore[no-untyped-call]
        self.processes: set[BaseProcess] = set()

    def take(self, position: int) -> None:
        """Record, in a worker, that it is reading this clip of the dataset."""
        worker = get_worker_info()
        if worker is not None:
            self.taken[worker.id] = torch.tensor([os.getpid(), position])

    def given(self, loader: DataLoader[Any]) -> Iterator[Any]:
        """Yield from the loader; raise LostError with the clip if the system has ended a worker.

        The error is raised only when the next batch is requested.
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
        """The process ids of workers that were killed."""
        if not any(process.exitcode for process in self.processes):
            alive = {process.sentinel: process for process in self.processes if process.exitcode is None}
            for sentinel in wait(list(alive), SECONDS_TO_END):
                alive[sentinel].join()  # type: ignore[index]
        return {process.pid for process in self.processes if process.exitcode and process.pid}

    def _told(self, ended: set[int]) -> str:
        """The message about workers that were ended."""
        of = self.dataset
        rows = [(int(process), int(position)) for process, position in self.taken]
        clips = [of.clips.clip_ids[of.indices[position]] for process, position in rows if process in ended]
        if any(process.exitcode == -signal.SIGBUS for process in self.processes):
            return shared_memory_error()
        return (
            f"a process that reads clips was ended by the system, at clip {' and '.join(clips) or 'none'}\n"
            "Memory may have run out: use fewer workers (--set workers=N), or check that clip"
        )


@contextmanager
def _not_interrupting() -> Iterator[None]:
    """Start a DataLoader without its SIGCHLD handler, also one of an earlier DataLoader.

    The handler raises an error about an ended worker anywhere in the main thread, even in an `except` block.
    A worker's end is also detected when the next batch is requested.
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
