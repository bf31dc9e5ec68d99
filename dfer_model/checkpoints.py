"""Training state after an epoch, and weights of a finished model, written atomically; nothing is unpickled.

`state/checkpoint.pt` contains the trained weights and the optimizer's state; frozen parts are loaded from
CLIP again. It contains no random state, because every epoch is seeded from (seed, epoch).

`model.safetensors` contains all that prediction needs: image tower, temporal model, contexts and token
embeddings of the prompts, and the final class weights. The text tower is left out, because it is frozen and
not needed once the class weights are known: a run works without its original CLIP, and with ViT-B/32 it takes
370 MB instead of 520.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map_only

from .digests import check_tensors, write_tensors
from .errors import InputError, WorkError
from .io import refuse_other_kinds, replacing
from .models.classifier import Classifier

CLASS_WEIGHTS = "class_weights"


@dataclass(frozen=True)
class Best:
    """The best epoch so far, selected on validation clips or, if so set, on the test fold."""

    epoch: int
    war: float  # percent, on the clips that select the epoch
    logits: Tensor  # (test clips, classes)


@dataclass(frozen=True)
class Progress:
    """The progress of a training."""

    epoch: int = 0  # the last trained epoch
    best: Best | None = None
    row: Mapping[str, Any] | None = None  # its row of metrics.jsonl if it is not evaluated yet


class Stateful(Protocol):
    """An object with a state between epochs: optimizer, schedule, average of the weights."""

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors, numbers, lists and dicts."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Restore the result of `state_dict`."""


def save_state(path: Path, progress: Progress, model: nn.Module, parts: Mapping[str, Stateful]) -> None:
    """Replace the checkpoint at `path` by the state of `model` and `parts` after `progress.epoch`.

    Raises OSError, for example for a full disk; the previous checkpoint is then unchanged.
    """
    write_state(path, _state(progress, model, parts))


def host_state(progress: Progress, model: nn.Module, parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """A copy of the state that `save_state` writes, in host memory: later steps do not change it."""
    copied: dict[str, Any] = tree_map_only(
        Tensor, lambda value: value.to("cpu", copy=True), _state(progress, model, parts)
    )
    return copied


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` by a result of `host_state`. Raises as `save_state`."""
    with replacing(path) as temporary:
        _save(state, temporary)


def _state(progress: Progress, model: nn.Module, parts: Mapping[str, Stateful]) -> dict[str, Any]:
    best = progress.best
    return {
        "epoch": progress.epoch,
        "best": best and {"epoch": best.epoch, "war": best.war, "logits": best.logits},
        "row": progress.row and dict(progress.row),
        "model": {name: value.detach() for name, value in trained_state(model).items()},
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }


class Background:
    """One task at a time, in a thread."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._task: Future[None] | None = None

    def start(self, task: Callable[[], None]) -> None:
        """Run `task` in the thread, after `wait`."""
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._task = self._pool.submit(task)

    def wait(self) -> None:
        """Wait until the last task has ended. Raises its error, once."""
        task, self._task = self._task, None
        if task is not None:
            task.result()


def _save(state: Mapping[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as stream:
            torch.save(state, stream)
    except RuntimeError as error:
        # When a write fails, torch's writer replaces the OSError by an error of its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_state(path: Path, model: nn.Module, parts: Mapping[str, Stateful]) -> Progress:
    """Load the checkpoint at `path` into `model` and `parts`; without one, return an empty Progress.

    Raises WorkError for a checkpoint that is damaged or of another model.
    """
    if not path.is_file():
        return Progress()
    try:
        _check_archive(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        trained = trained_state(model)
        if set(state["model"]) != set(trained):
            raise ValueError("it is of another model")
        with torch.no_grad():
            for name, value in trained.items():
                value.copy_(state["model"][name])
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        best = Best(**state["best"]) if state["best"] else None
        return Progress(int(state["epoch"]), best, state.get("row"))  # older checkpoints have no row
    except Exception as error:  # torch.load raises almost any error for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WorkError(
            f"the checkpoint {path} cannot be used: {reason}\nDelete {path.parent} to train from the start"
        ) from error


def _check_archive(path: Path) -> None:
    """Raise ValueError or BadZipFile for a damaged file; torch writes checksums but does not check them."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} is wrong")


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The trained parameters, and the running statistics of every BatchNorm in their modules."""
    trained: dict[str, Tensor] = {
        name: value for name, value in model.named_parameters() if value.requires_grad
    }
    for prefix, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.weight.requires_grad:
            trained |= {f"{prefix}.{name}": value for name, value in module.named_buffers()}
    return trained


def save_weights(path: Path, model: Classifier, class_weights: Tensor) -> None:
    """Write the tensors that prediction needs (see the module docstring) to `path`, as safetensors."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in kept_state(model).items()}
    tensors[CLASS_WEIGHTS] = class_weights.detach().float().cpu().contiguous()
    write_tensors(path, save(tensors, metadata={"format": "pt"}))


def copy_weights(source: Path, path: Path) -> None:
    """Copy the weights at `source` to `path`. Raises WorkError if they are missing or damaged."""
    try:
        check_tensors(source)
    except (InputError, FileNotFoundError) as error:
        raise WorkError(
            f"the weights {source} of the best epoch are missing or damaged\n"
            f"Delete {source.parent} to train from the start"
        ) from error
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def load_weights(path: Path, model: Classifier) -> Tensor:
    """Load the weights at `path` into `model`, except the parts that runs leave out.

    Returns the class weights, as `model.class_weights` does. Raises InputError if the file is missing,
    damaged or of another model.
    """
    tensors, class_weights = read_weights(path)
    shapes = {name: value.shape for name, value in kept_state(model).items()}
    if {name: value.shape for name, value in tensors.items()} != shapes:
        raise InputError(f"{path} does not fit the model that the run's config.yaml describes")
    model.load_state_dict(tensors, strict=False)
    return class_weights


def read_weights(path: Path) -> tuple[dict[str, Tensor], Tensor]:
    """The tensors at `path` by name, and the class weights. Raises InputError as `load_weights` does."""
    refuse_other_kinds(path)
    try:
        check_tensors(path)
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; the run needs it to predict") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    class_weights = tensors.pop(CLASS_WEIGHTS, None)
    if class_weights is None:
        raise InputError(f"{path} does not fit the model that the run's config.yaml describes")
    return tensors, class_weights


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor at `path`, from its header. Raises InputError as `load_weights` does."""
    refuse_other_kinds(path)
    try:
        with safe_open(path, framework="pt") as stream:
            return {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; the run needs it to predict") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def kept_state(model: Classifier) -> dict[str, Tensor]:
    """The model's state without the parts that a finished run leaves out."""
    return {
        name: value for name, value in model.state_dict().items() if name.split(".")[0] not in model.left_out
    }
