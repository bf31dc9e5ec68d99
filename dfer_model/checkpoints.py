"""Training's state after an epoch, and a finished model's weights: whole or not at all; nothing unpickles.

`state/checkpoint.pt` holds what training changes and the optimiser needs to go on, no more: frozen parts come
from CLIP again. There are no random numbers in it, for every epoch begins with those of (seed, epoch).

`model.safetensors` is all that a prediction needs: image tower, temporal model, contexts and token embeddings
of the prompts, and the final class weights. The text tower, frozen and not read again once these are there,
is left out: a run works without the CLIP it began from, and one of a ViT-B/32 takes 370 MB, not 520.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .digests import check_tensors, write_tensors
from .errors import InputError, WorkError
from .file_kinds import refuse_other_kinds
from .io import replacing
from .models.classifier import Classifier

CLASS_WEIGHTS = "class_weights"


@dataclass(frozen=True)
class Best:
    """The best epoch so far, where validation clips choose it, or the fold that judges is allowed to."""

    epoch: int
    war: float  # percent, of the clips that choose
    logits: Tensor  # (test clips, classes)


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    epoch: int = 0  # the last one whose training is done
    best: Best | None = None
    row: Mapping[str, Any] | None = None  # of that epoch for metrics.jsonl, where it is not yet evaluated


class Stateful(Protocol):
    """What has a state between epochs: an optimiser, its schedule, an average of weights."""

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs, in tensors, numbers, lists and dicts."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Take back what `state_dict` gave."""


def save_state(path: Path, progress: Progress, model: nn.Module, parts: Mapping[str, Stateful]) -> None:
    """Replace the checkpoint at `path` by the state of `model` and `parts` after `progress.epoch`.

    Raises OSError, as for a full disk; the checkpoint that was there is then as it was.
    """
    best = progress.best
    state = {
        "epoch": progress.epoch,
        "best": best and {"epoch": best.epoch, "war": best.war, "logits": best.logits},
        "row": progress.row and dict(progress.row),
        "model": {name: value.detach() for name, value in trained_state(model).items()},
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    with replacing(path) as temporary:
        _save(state, temporary)


def _save(state: Mapping[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as stream:
            torch.save(state, stream)
    except RuntimeError as error:
        # When a write fails, torch's writer puts an error of its own in the place of the disk's.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_state(path: Path, model: nn.Module, parts: Mapping[str, Stateful]) -> Progress:
    """Put the checkpoint at `path` back into `model` and `parts`; where there is none, nothing is done yet.

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
    except Exception as error:  # a damaged file makes torch.load raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WorkError(
            f"the checkpoint {path} cannot be used: {reason}\nDelete {path.parent} to train from the start"
        ) from error


def _check_archive(path: Path) -> None:
    """Raise ValueError or BadZipFile for a damaged file: torch writes checksums and does not read them."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} is wrong")


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, and the running statistics of every BatchNorm among their modules."""
    trained: dict[str, Tensor] = {
        name: value for name, value in model.named_parameters() if value.requires_grad
    }
    for prefix, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.weight.requires_grad:
            trained |= {f"{prefix}.{name}": value for name, value in module.named_buffers()}
    return trained


def save_weights(path: Path, model: Classifier, class_weights: Tensor) -> None:
    """Write what a prediction needs of `model` (see the module's first lines) to `path`, as safetensors."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in _kept(model).items()}
    tensors[CLASS_WEIGHTS] = class_weights.detach().float().cpu().contiguous()
    write_tensors(path, save(tensors, metadata={"format": "pt"}))


def copy_weights(source: Path, path: Path) -> None:
    """Replace `path` by the weights at `source`. Raises WorkError when these are missing or damaged."""
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
    """Put the weights at `path` into `model`, whose left-out parts stay as they are.

    Returns the class weights, as `model.class_weights` gives them. Raises InputError when the file is
    missing, damaged or of another model.
    """
    tensors, class_weights = read_weights(path)
    wanted = {name: value.shape for name, value in _kept(model).items()}
    if {name: value.shape for name, value in tensors.items()} != wanted:
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
        raise InputError(f"{path} is missing: without it the run cannot predict") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    class_weights = tensors.pop(CLASS_WEIGHTS, None)
    if class_weights is None:
        raise InputError(f"{path} does not fit the model that the run's config.yaml describes")
    return tensors, class_weights


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor at `path`, from its header alone. Raises InputError as `load_weights` does."""
    refuse_other_kinds(path)
    try:
        with safe_open(path, framework="pt") as stream:
            return {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: without it the run cannot predict") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _kept(model: Classifier) -> dict[str, Tensor]:
    """The model's state without the parts that a finished run leaves out."""
    return {
        name: value for name, value in model.state_dict().items() if name.split(".")[0] not in model.left_out
    }
