"""How much memory a training step takes, measured before the first one, and which settings lower it.

Forward and backward pass run on fake tensors (torch's FakeTensorMode), which have shapes and no values, while
the bytes of all tensors that are alive are counted: once for one clip and once for two. Memory grows linearly
with the clips of a pass. Not counted are the model itself, which is already there, fragmentation, and what
libraries keep for themselves.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dfer_model.config import Settings
from dfer_model.devices import device_name, precision
from dfer_model.distributed import needs_whole_batch
from dfer_model.errors import InputError
from dfer_model.memory import Memory, in_gib
from dfer_model.models.classifier import Classifier

ROOM = 0.9  # share of the free memory that a suggestion fills
CERTAIN = 1.25  # times the whole memory, above which a training is refused


@dataclass(frozen=True)
class Need:
    """Bytes that training allocates beside the model: `fixed`, and `per_clip` for each clip of a pass."""

    fixed: int
    per_clip: int
    clips: int  # in a pass, the largest part of a batch

    @property
    def total(self) -> int:
        """All of it."""
        return self.fixed + self.per_clip * self.clips


def training_need(
    model: Classifier, settings: Settings, image_size: int, clips: int, device: torch.device, workers: int
) -> Need:
    """What training `model` on batches of `clips` clips will allocate on `device`.

    With gradients, the optimizer's state, frames of the batch and, on a CPU, the batches that `workers`
    processes hold ready. `model` is as the training builds it, in training mode, and is not changed.
    """
    largest = -(-clips // min(settings.accumulate, clips))
    one, two = (peak_bytes(model, settings, image_size, number, device) for number in (1, 2))
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    states = trained * (2 if settings.optimizer == "adamw" else 1)
    frames = settings.frames * 3 * image_size**2  # bytes of a clip
    held = 2 if device.type == "cuda" else 1 + 2 * workers
    return Need(states + 2 * one - two + held * clips * frames, two - one, largest)


def peak_bytes(
    model: Classifier, settings: Settings, image_size: int, clips: int, device: torch.device
) -> int:
    """Most bytes alive at a time in the two passes over `clips` clips, beside the model's own."""
    mode = FakeTensorMode()
    # A copy whose weights are fake: the model itself, its caches and its statistics stay as they are.
    values = [*model.parameters(), *model.buffers()]
    fake = {id(value): mode.from_tensor(value) for value in values}
    known = list(fake.values())
    copied: nn.Module = deepcopy(model, fake)
    copied.__dict__.pop("forward", None)  # Accelerate's, which is bound to the model
    with warnings.catch_warnings(), mode, _Live(known) as live:
        warnings.simplefilter(
            "ignore", UserWarning
        )  # addresses of fake tensors, which nothing here relies on
        frames = torch.empty(clips, settings.frames, 3, image_size, image_size, device=device)
        with precision(settings.precision, device):
            logits: Tensor = copied(frames)
        # Takes the memory of cross-entropy.
        logits.float().logsumexp(dim=1).sum().backward()  # type: ignore[no-untyped-call]
    most: int = live.most
    return most


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made within it and alive; those of `known` do not count."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._seen: set[int] = {each.untyped_storage()._cdata for each in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def lower_memory(model: nn.Module, settings: Settings, accumulate: int = 0) -> str:
    """The settings that lower what training takes, of those that are left: "--set accumulate=4, ...".

    `accumulate` is the number to suggest, by default twice what is set.
    """
    several = settings.batch_size > settings.accumulate
    image = settings.uses_clip and settings.lr_image > 0
    ways = {
        f"--set accumulate={accumulate or 2 * settings.accumulate}": several and not needs_whole_batch(model),
        "--set gradient_checkpointing=true": image and not settings.gradient_checkpointing,
        "--set precision=bf16": settings.precision == "fp32",
        "a smaller --set batch_size=...": settings.batch_size > 1,
        "fewer --set frames=...": settings.frames > 1,
    }
    return ", ".join(way for way, helps in ways.items() if helps)


def state_need(
    need: Need, memory: Memory | None, model: nn.Module, settings: Settings, device: torch.device
) -> str:
    """What training will need and what is free, in a sentence; where that is too little, what lowers it.

    Raises InputError where it is certain that the device's whole memory is too small.
    """
    named = "the CPU" if device.type == "cpu" else device_name(device)
    says = (
        f"training takes about {in_gib(need.total)} of memory on {named} beside the model, "
        f"{in_gib(need.per_clip * need.clips)} of it for the {need.clips} clips of a pass"
    )
    if memory is None:
        return says
    room = ROOM * memory.free - need.fixed
    fits = int(room // need.per_clip) if need.per_clip else need.clips
    parts = -(-settings.batch_size // fits) if fits > 0 else settings.batch_size
    ways = f"To lower it: {lower_memory(model, settings, max(parts, settings.accumulate))}"
    if need.total > CERTAIN * memory.total:
        raise InputError(f"{says}; there are {in_gib(memory.total)} in all\n{ways}")
    if need.total > memory.free:
        return f"{says}; only {in_gib(memory.free)} are free. {ways}"
    return f"{says}; {in_gib(memory.free)} are free"
