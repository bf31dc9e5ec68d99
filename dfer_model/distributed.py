"""Training one run in several processes started by torchrun, each with its share of every batch.

`batch_size` is the size of the whole batch: each process takes a slice of it, and after the backward pass all
have the mean gradient of the whole batch (torch's DistributedDataParallel). Steps, losses and weights equal
those of one process up to the order of floating-point additions, so the run's id does not depend on the
number of processes. Only the first process writes.

Accelerate prepares the model and the optimizer and runs the backward pass, but does not distribute batches.
Its loaders need a batch size that is a multiple of the number of processes, or repeat clips. Here shares may
differ by a clip, the loss is weighted accordingly (`Processes.weighted`), and mixup adds the clip before a
share. Accelerate also has no errors for a process that has ended, or for processes that were started with
different inputs.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from dfer_model.errors import InputError, WorkError
from dfer_model.launch import workers_of

from .devices import choose_device
from .launch import launched

T = TypeVar("T")
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Processes:
    """The rank of this process among those that train together. For one process, all methods are no-ops."""

    rank: int = 0
    count: int = 1
    on_this_machine: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's slice of `total` items; shares are consecutive and differ by at most one item."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def workers(self, requested: int | Literal["auto"], cores: int | None = None) -> int:
        """The number of this process's workers for the setting `workers` (`workers_of`)."""
        return workers_of(requested, self.on_this_machine, cores)

    def of(self, device: str) -> str:
        """The name of all processes' devices, given the name of one."""
        return device if self.count == 1 else f"{self.count} x {device}"

    def agreed(self, ask: Callable[[], T]) -> T:
        """The result of `ask` in the first process, sent to all others."""
        if self.count == 1:
            return ask()
        shared: list[Any] = [ask() if self.first else None]
        dist.broadcast_object_list(shared, src=0)
        answer: T = shared[0]
        return answer

    def require_same(self, value: object, otherwise: str) -> None:
        """Raise WorkError with the message `otherwise` if `value` differs between processes."""
        if self.count == 1:
            return
        values: list[object] = [None] * self.count
        dist.all_gather_object(values, value)
        if any(each != values[0] for each in values):
            raise WorkError(otherwise)

    def require_shareable(self, model: nn.Module, batch_size: int) -> None:
        """Raise InputError if the model needs the whole batch, or the batch has too few clips.

        BatchNorm with learned statistics and dropout, whose random numbers belong to a batch, need the whole.
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
                f"this classifier's {why} of a whole batch, so its run must be trained in one process\n"
                "Give the same command without torchrun"
            )

    def together(self, model: nn.Module) -> nn.Module:
        """`model`, wrapped so that each backward pass averages gradients over all processes.

        Its weights are copied from the first process. Call it after parameters have been frozen.
        """
        return model if self.count == 1 else data_parallel(model)

    def weighted(self, mean: Tensor, clips: int, total: int) -> Tensor:
        """The contribution of a mean over `clips` clips to the mean over the `total` clips of a batch.

        The sum of contributions in each process, averaged over processes, is the mean over the batch.
        """
        share = clips * self.count / total
        return mean if share == 1 else mean * share

    def unsynchronised(self, model: nn.Module) -> AbstractContextManager[None]:
        """A context in which a backward pass of a model from `together` does not average gradients."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over processes; its shape is the same in each."""
        if self.count == 1:
            return value
        summed = value.clone()
        dist.all_reduce(summed)
        return summed / self.count

    def gathered(self, rows: Rows, total: int) -> Rows:
        """The rows of all processes (total, width); `rows` are this process's share."""
        if self.count == 1:
            return rows
        gathered = torch.zeros(total, rows.shape[1])
        gathered[self.share(total)] = torch.from_numpy(rows)
        dist.all_reduce(gathered)  # all terms of a row but one are 0
        return gathered.numpy()


def needs_whole_batch(model: nn.Module) -> str:
    """The reason why `model` needs whole batches in training; "" if it does not. Sets training mode.

    Reasons are BatchNorm with learned statistics, and dropout, whose random numbers are drawn per batch.
    """
    model.train()
    for each in model.modules():
        if isinstance(each, _BatchNorm) and each.training:
            return "BatchNorm learns the statistics"
        if isinstance(each, _DropoutNd) and each.p > 0:
            return "dropout is drawn for the clips"
    return ""


ALONE = Processes()


def join(device: str | None = None, *, tf32: bool = True) -> tuple[Processes, torch.device]:
    """Join the processes that torchrun started, and return this process's place and device.

    Raises InputError for a device that does not exist, or more processes on this machine than GPUs.
    """
    launch, where = launched(), choose_device(device, tf32=tf32)
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
        dist.init_process_group(**group_options(where))
        atexit.register(dist.destroy_process_group)
    return Processes(launch.rank, launch.count, launch.local_count), where


def group_options(device: torch.device) -> dict[str, Any]:
    """The keywords of torch's `init_process_group` for processes of which this one computes on `device`.

    With `device_id`, NCCL connects at once, and its collectives cannot use another process's GPU.
    """
    if device.type != "cuda":
        return {"backend": "gloo"}
    return {"backend": "cpu:gloo,cuda:nccl", "device_id": device}


def data_parallel(model: nn.Module) -> DistributedDataParallel:
    """`model`, wrapped for the processes of torch's default group."""
    with warnings.catch_warnings():
        # Newer versions of torch rename an option; older ones know only this name.
        warnings.simplefilter("ignore", FutureWarning)
        # Training changes no buffers here (`require_shareable`), so they need not be sent.
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


@contextmanager
def ending_together(processes: Processes) -> Iterator[None]:
    """Turn torch's errors about another process that ended into a WorkError."""
    try:
        yield
    except BaseException as error:
        if processes.count > 1:
            atexit.unregister(dist.destroy_process_group)  # it could wait for processes that have ended
            if isinstance(error, RuntimeError) and _another_process_left(error):
                raise WorkError(
                    f"another of the {processes.count} processes that train this run has ended\n"
                    "The system may have killed it for its memory; give the same command again to continue"
                ) from error
        raise


def _another_process_left(error: RuntimeError) -> bool:
    """Whether the error is from the network; gloo's errors have no type but begin with its source file."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)
