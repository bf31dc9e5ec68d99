"""Keeping a GPU busy: batches are copied to it a step ahead, and losses are read from it some steps late.

A GPU works through a queue, and waits for nothing as long as the host does not wait for it: reading one loss
at once would empty the queue in every step. On a CPU both are as if they were not there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

STEPS_BEHIND = 8
FOR_THE_HOST = {"index", "sizes"}


def on_device(
    batches: Iterable[Mapping[str, Tensor]], device: torch.device
) -> Iterator[Mapping[str, Tensor]]:
    """Each batch with all but what the host reads on a CUDA device, copied while the one before is computed.

    On a CPU the batches as they are.
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
    """The batch for the stream that computes: it waits for the copy, and keeps the memory."""
    computing = torch.cuda.current_stream(device)
    computing.wait_event(event)
    for value in batch.values():
        if value.is_cuda:
            value.record_stream(computing)
    return batch


class Loss(NamedTuple):
    """A step's loss on the host, and the positions of the clips that it is of."""

    step: int  # from 1
    value: float
    clips: list[int]


def read_late(steps: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Iterator[Loss]:
    """The losses of `steps`, each a loss () and its batch's "index" (clips,), in their order.

    On CUDA a loss comes when STEPS_BEHIND more steps have been given to the GPU, or there are no more.
    """
    behind = STEPS_BEHIND if device.type == "cuda" else 0
    waiting: deque[tuple[int, _OnItsWay, Tensor]] = deque()
    for number, (loss, index) in enumerate(steps, 1):
        waiting.append((number, _OnItsWay(loss), index))
        if len(waiting) > behind:
            yield _read(*waiting.popleft())
    while waiting:
        yield _read(*waiting.popleft())


def _read(number: int, loss: _OnItsWay, index: Tensor) -> Loss:
    return Loss(number, loss.value(), index.tolist())


class _OnItsWay:
    """A number () that is being copied from a GPU to the host, or is there already."""

    def __init__(self, number: Tensor) -> None:
        self.host, self.arrived = number, None
        if number.is_cuda:
            self.host = torch.empty((), dtype=number.dtype, pin_memory=True)
            self.host.copy_(number, non_blocking=True)
            self.arrived = torch.cuda.current_stream(number.device).record_event()

    def value(self) -> float:
        """The number; waits for the steps up to its own, and not for those after it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return float(self.host)
