"""The processes that read clips: which clip each of them took last, and what to say when one is killed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import get_worker_info

from .data.loading import ClipDataset
from .errors import LostError


class Readers:
    """The `workers` of a DataLoader over `dataset`; what they note is in memory that all processes share."""

    def __init__(self, dataset: ClipDataset, workers: int) -> None:
        self.dataset = dataset
        self.taken = torch.zeros(workers, 2, dtype=torch.int64)  # of each its process, and its last position
        self.taken.share_memory_()  # type: ignore[no-untyped-call]

    def take(self, position: int) -> None:
        """Note, in a worker, that it reads this clip of the dataset now."""
        worker = get_worker_info()
        if worker is not None:
            self.taken[worker.id] = torch.tensor([os.getpid(), position])

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, raise LostError that names the clip when the system has ended a worker.

        All that is done with the batches belongs within: torch tells of a worker's end wherever the main
        process is.
        """
        try:
            yield
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise LostError(self._ended(str(error))) from error

    def _ended(self, told: str) -> str:
        """What to say of workers that were ended, in two lines; `told` has their process ids."""
        ended = {int(number) for number in re.findall(r"\d+", told)}
        rows = [(int(process), int(position)) for process, position in self.taken]
        of = self.dataset
        clips = [of.clips.clip_ids[of.indices[position]] for process, position in rows if process in ended]
        return (
            f"a process that reads clips was ended by the system, at clip {' and '.join(clips) or 'none'}\n"
            "Memory may have run out: give it fewer processes, --set workers=N, or look at that clip"
        )
