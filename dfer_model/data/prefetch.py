"""Batch prefetch to a GPU, and losses and outputs that are read from it some steps late.

A GPU works through a queue of kernels. Reading a loss right after its step waits until the queue is empty, so
the GPU idles while the host prepares the next step. On a CPU nothing is delayed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

STEPS_BEHIND = 8
FOR_THE_HOST = {"index", "sizes"}


def prefetched(
    batches: Iterable[Mapping[str, Tensor]], device: torch.device
) -> Iterator[Mapping[str, Tensor]]:
    """Yield each batch on a CUDA device, copied while the previous batch is computed.

    The tensors of FOR_THE_HOST stay on the host. On a CPU the batches are returned unchanged.
    """
    if device.type != "cuda":
        yield from batches
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    before: tuple[dict[str, Tensor], torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copying):
            sent = {
                name: value if name in FOR_THE_HOST else value.to(device, non_blocking=True)
                for name, value in batch.items()
            }
            arrived = copying.record_event()
        if before is not None:
            yield _arrived(*before, device)
        before = sent, arrived
    if before is not None:
        yield _arrived(*before, device)


def _arrived(batch: dict[str, Tensor], event: torch.cuda.Event, device: torch.device) -> dict[str, Tensor]:
    """Make the computing stream wait for the copy, and keep the memory until that stream has used it."""
    computing = torch.cuda.current_stream(device)
    computing.wait_event(event)
    for value in batch.values():
        if value.is_cuda:
            value.record_stream(computing)
    return batch


class Loss(NamedTuple):
    """The loss of a step on the host, and the positions of the clips in its batch."""

    step: int  # from 1
    value: float
    clips: list[int]


class LateLosses:
    """A queue of losses that are on their way from `device` to the host, in the order of their steps."""

    def __init__(self, device: torch.device) -> None:
        self.behind = STEPS_BEHIND if device.type == "cuda" else 0
        self.waiting: deque[tuple[int, HostCopy, Tensor]] = deque()

    def push(self, step: int, loss: Tensor, index: Tensor) -> Iterator[Loss]:
        """Add the loss () of a step on the clips `index` (clips,); return the losses that are due.

        On CUDA a loss is due when STEPS_BEHIND more steps have been queued, on a CPU at once.
        """
        self.waiting.append((step, HostCopy(loss), index))
        return self._read(self.behind)

    def flush(self) -> Iterator[Loss]:
        """Return all losses that are left."""
        return self._read(0)

    def _read(self, left: int) -> Iterator[Loss]:
        while len(self.waiting) > left:
            step, loss, index = self.waiting.popleft()
            yield Loss(step, float(loss.value()), index.tolist())


class HostCopy:
    """An asynchronous copy of a tensor from a GPU to the host; a tensor on the host is used as it is."""

    def __init__(self, tensor: Tensor) -> None:
        self.host, self.arrived = tensor, None
        if tensor.is_cuda:
            self.host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self.host.copy_(tensor, non_blocking=True)
            self.arrived = torch.cuda.current_stream(tensor.device).record_event()

    def value(self) -> Tensor:
        """The tensor on the host. Waits for its own computation, not for later ones."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.host
