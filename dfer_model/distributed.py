"""The processes that train one run together, as torchrun starts them, each with its share of every batch.

The batch of the settings is that of all of them: each takes a slice of it, and after the backward pass all
have the mean gradient of the whole (torch's DistributedDataParallel). So steps, losses and weights are those
of one process but for the order in which floats are added, and a run is the same run whatever trains it. Only
the first process writes.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from dfer_model.errors import InputError, WorkError

from .devices import choose_device
from .launch import launched

T = TypeVar("T")
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together. Alone, all that it does is nothing."""

    rank: int = 0
    count: int = 1
    on_this_machine: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's positions of `total`: the shares follow each other, and differ by one at most."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def workers(self, wanted: int) -> int:
        """This process's part of the `wanted` workers of a machine, one at least if any are wanted."""
        return -(-wanted // self.on_this_machine)

    def of(self, device: str) -> str:
        """The devices of all processes, given the name of one."""
        return device if self.count == 1 else f"{self.count} x {device}"

    def agreed(self, ask: Callable[[], T]) -> T:
        """What the first process finds when it asks; the others wait for that."""
        if self.count == 1:
            return ask()
        said: list[Any] = [ask() if self.first else None]
        dist.broadcast_object_list(said, src=0)
        answer: T = said[0]
        return answer

    def require_same(self, value: object, otherwise: str) -> None:
        """Raise WorkError with the two lines of `otherwise` where not all processes have the same value."""
        if self.count == 1:
            return
        values: list[object] = [None] * self.count
        dist.all_gather_object(values, value)
        if any(each != values[0] for each in values):
            raise WorkError(otherwise)

    def require_shareable(self, model: nn.Module, batch_size: int) -> None:
        """Raise InputError where shares of a batch cannot do what the whole does, or there are too few clips.

        BatchNorm that learns its statistics, and dropout, whose random numbers are a batch's, need the whole.
        """
        if self.count == 1:
            return
        if batch_size < self.count:
            raise InputError(
                f"a batch of {batch_size} clips cannot be shared among {self.count} processes\n"
                "Start fewer with --nproc_per_node, or give a larger batch with --set batch_size=..."
            )
        if why := needs_whole_batch(model):
            raise InputError(
                f"this classifier's {why} of a whole batch: its run is trained in one process\n"
                "Give the same command without torchrun"
            )

    def together(self, model: nn.Module) -> nn.Module:
        """`model`, whose gradients are after each backward pass the mean of those of all processes.

        Its weights become the first process's. To be called when it is known what is trained.
        """
        if self.count == 1:
            return model
        with warnings.catch_warnings():
            # Newer versions of torch have another name for this option, and older ones know this one alone.
            warnings.simplefilter("ignore", FutureWarning)
            # Training changes no buffer here (`require_shareable`), so none needs to be sent.
            return DistributedDataParallel(model, broadcast_buffers=False)

    def weighted(self, mean: Tensor, clips: int, total: int) -> Tensor:
        """A mean over `clips` of a batch, as its part of the mean over all `total`.

        The sum over the parts of each process, averaged over the processes, is the mean over the batch.
        """
        share = clips * self.count / total
        return mean if share == 1 else mean * share

    def unsynchronised(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within it a backward pass of a model from `together` leaves the gradients of this process alone."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes of a value of the same shape in each."""
        if self.count == 1:
            return value
        summed = value.clone()
        dist.all_reduce(summed)
        return summed / self.count

    def gathered(self, rows: Rows, total: int) -> Rows:
        """All processes' rows (total, width), of which `rows` are those of this one's share."""
        if self.count == 1:
            return rows
        whole = torch.zeros(total, rows.shape[1])
        whole[self.share(total)] = torch.from_numpy(rows)
        dist.all_reduce(whole)  # of each row all terms but one are 0
        return whole.numpy()


def needs_whole_batch(model: nn.Module) -> str:
    """What of `model`, put into training mode, is computed over a whole batch; "" where nothing is.

    BatchNorm that learns its statistics, and dropout, whose random numbers are drawn for a batch.
    """
    model.train()
    for each in model.modules():
        if isinstance(each, _BatchNorm) and each.training:
            return "BatchNorm learns the statistics"
        if isinstance(each, _DropoutNd) and each.p > 0:
            return "dropout is drawn for the clips"
    return ""


ALONE = Processes()


def join(device: str | None = None) -> tuple[Processes, torch.device]:
    """Meet those that this process was launched with, and the device of this one; alone where with none.

    Raises InputError for a device that is not there, or more processes on this machine than GPUs.
    """
    launch, where = launched(), choose_device(device)
    if not launch.several:
        return ALONE, where
    if where.type == "cuda":
        gpus = torch.cuda.device_count()
        if launch.local_rank >= gpus:
            raise InputError(
                f"{launch.local_count} processes were started on a machine where torch sees {gpus} GPU(s)\n"
                f"Start one for each: torchrun --nproc_per_node {gpus}"
            )
        where = torch.device("cuda", launch.local_rank)
        torch.cuda.set_device(where)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Processes(launch.rank, launch.count, launch.local_count), where


@contextmanager
def ending_together(processes: Processes) -> Iterator[None]:
    """Say in a sentence, as WorkError, what torch says within it when another process has left."""
    try:
        yield
    except BaseException as error:
        if processes.count > 1:
            atexit.unregister(dist.destroy_process_group)  # it could wait for those that have left
            if isinstance(error, RuntimeError) and _says_that_another_left(error):
                raise WorkError(
                    f"another of the {processes.count} processes that train this run has ended\n"
                    "The system may have killed it for its memory; give the same command again to go on"
                ) from error
        raise


def _says_that_another_left(error: RuntimeError) -> bool:
    """Whether it comes from the network; gloo's errors have no type, but begin with gloo's source file."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)
