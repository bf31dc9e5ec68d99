"""The memory that a training step takes, estimated before the first one, and settings that lower it.

Forward and backward pass run on fake tensors (torch's FakeTensorMode), which have shapes but no values, while
the bytes of all live tensors are counted: once for one clip and once for two. Memory grows linearly with the
clips of a pass. The model itself, fragmentation and the buffers of libraries are not counted.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dfer_model.config import Settings
from dfer_model.data.shared_memory import shared_memory_note
from dfer_model.devices import device_name, multiplies_bfloat16, precision
from dfer_model.distributed import needs_whole_batch
from dfer_model.errors import InputError
from dfer_model.memory import Memory, device_memory, in_gib
from dfer_model.models.classifier import Classifier

from .setup import Training

ROOM = 0.9  # share of the free memory that suggested settings may use
_MEASURED: dict[Any, tuple[int, int]] = {}
CERTAIN = 1.25  # a training that needs this multiple of the whole memory is refused


@dataclass(frozen=True)
class Need:
    """Bytes that training allocates in addition to the model: `fixed`, and `per_clip` per clip of a pass."""

    fixed: int
    per_clip: int
    clips: int  # in a pass, the largest part of a batch

    @property
    def total(self) -> int:
        """Bytes in total."""
        return self.fixed + self.per_clip * self.clips


def training_need(
    model: Classifier, settings: Settings, image_size: int, clips: int, device: torch.device, workers: int
) -> Need:
    """The memory that training `model` on batches of `clips` clips allocates on `device`.

    It includes gradients, optimizer state, the frames of the batch and, on a CPU, the batches prefetched by
    `workers` processes. `model` must be in training mode; it is not changed.
    """
    largest = -(-clips // min(settings.accumulate, clips))
    one, two = _peaks(model, settings, image_size, device)
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    states = trained * (2 if settings.optimizer == "adamw" else 1)
    frames = settings.frames * 3 * image_size**2  # bytes of a clip
    held = 2 if device.type == "cuda" else 1 + 2 * workers
    return Need(states + 2 * one - two + held * clips * frames, two - one, largest)


def _peaks(model: Classifier, settings: Settings, image_size: int, device: torch.device) -> tuple[int, int]:
    """Peak bytes for one clip and for two, measured once for all runs of a grid with equal shapes."""
    values = [*model.named_parameters(), *model.named_buffers()]
    shapes = tuple((name, value.shape, value.dtype, value.requires_grad) for name, value in values)
    key = shapes, settings.model_dump_json(), image_size, device
    if key not in _MEASURED:
        one, two = (peak_bytes(model, settings, image_size, clips, device) for clips in (1, 2))
        _MEASURED[key] = one, two
    return _MEASURED[key]


def peak_bytes(
    model: Classifier, settings: Settings, image_size: int, clips: int, device: torch.device
) -> int:
    """Peak bytes in forward and backward pass over `clips` clips, without the model's own."""
    mode = FakeTensorMode()
    # A copy with fake weights: the model itself, its caches and its statistics do not change.
    values = [*model.parameters(), *model.buffers()]
    fake = {id(value): mode.from_tensor(value) for value in values}
    known = list(fake.values())
    copied: nn.Module = deepcopy(model, fake)
    # Compiled code cannot be measured so; it takes no more memory.
    eager = torch.compiler.set_stance("force_eager")
    with warnings.catch_warnings(), eager, mode, _Live(known) as live:
        warnings.simplefilter("ignore", UserWarning)  # about addresses of fake tensors, not used here
        frames = torch.empty(clips, settings.frames, 3, image_size, image_size, device=device)
        with precision(settings.precision, device):
            logits: Tensor = copied(frames)
        # Allocates as much as cross-entropy.
        logits.float().logsumexp(dim=1).sum().backward()  # type: ignore[no-untyped-call]
    most: int = live.most
    return most


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live tensors that are created within it; those of `known` do not count."""

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


def lower_memory(model: nn.Module, settings: Settings, device: torch.device, accumulate: int = 0) -> str:
    """The remaining settings that lower the memory of training on `device`: "--set accumulate=4, ...".

    `accumulate` is the value to suggest, by default twice the current one.
    """
    several = settings.batch_size > settings.accumulate
    image = settings.uses_clip and settings.lr_image > 0
    ways = {
        f"--set accumulate={accumulate or 2 * settings.accumulate}": several and not needs_whole_batch(model),
        "--set gradient_checkpointing=true": image and not settings.gradient_checkpointing,
        "--set precision=bf16": settings.precision == "fp32" and multiplies_bfloat16(device),
        "a smaller --set batch_size=...": settings.batch_size > 1,
        "fewer --set frames=...": settings.frames > 1,
    }
    return ", ".join(way for way, helps in ways.items() if helps)


def state_need(
    need: Need, memory: Memory | None, model: nn.Module, settings: Settings, device: torch.device
) -> str:
    """A sentence on needed and free memory; if it is too little, with settings that lower the need.

    Raises InputError if the device's whole memory is certainly too small.
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
    ways = f"To lower it: {lower_memory(model, settings, device, max(parts, settings.accumulate))}"
    if need.total > CERTAIN * memory.total:
        raise InputError(f"{says}; there are {in_gib(memory.total)} in all\n{ways}")
    if need.total > memory.free:
        return f"{says}; only {in_gib(memory.free)} are free. {ways}"
    return f"{says}; {in_gib(memory.free)} are free"


def announce(training: Training, note: Callable[[str], object]) -> None:
    """Note the memory that is needed. Raises InputError if the machine has too little."""
    settings, device = training.settings, training.device
    batch = training.batch_size * settings.frames * 3 * training.base.image_size**2
    workers = training.workers * training.processes.on_this_machine
    if shared := shared_memory_note(batch // training.processes.count, workers):
        note(shared)
    if not settings.epochs or (need := need_of(training)) is None:
        return
    note(state_need(need, device_memory(device), training.model, settings, device))


def need_of(training: Training) -> Need | None:
    """The memory that training takes; None for a model that cannot be measured."""
    clips = len(range(training.batch_size)[training.processes.share(training.batch_size)])
    training.model.train()
    try:
        return training_need(
            training.model,
            training.settings,
            training.base.image_size,
            clips,
            training.device,
            training.workers,
        )
    except Exception:  # noqa: BLE001 - an estimate must not keep a training from starting
        return None
