"""What a training would do, without doing it: parameters, clips, memory, time, and the files of the run.

The model is built and a few steps are computed on real batches. No file is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from dfer_model.checkpoints import kept_state, trained_state
from dfer_model.config import augmentation_words
from dfer_model.data.packed import PackedClips
from dfer_model.devices import choose_device, device_name, require_precision
from dfer_model.errors import InputError, Interrupted
from dfer_model.launch import launched
from dfer_model.memory import device_memory, out_of_memory_error
from dfer_model.progress import Note, Report, silent
from dfer_model.runs import RunSpec

from .loop import train_epoch
from .memory_need import announce, lower_memory, need_of
from .run_writer import recorded_epochs
from .setup import Training

MEASURED_STEPS = 3  # after one that is not measured, because it starts workers and chooses kernels
EVALUATION = 1 / 3  # time of evaluating a clip, as a share of the time of training on it
NAMES = {
    "image_tower": "image tower",
    "temporal": "temporal model",
    "prompt_learner": "prompt learner",
    "text_tower": "text tower",
    "temperature": "learned temperature",
    "meta_net": "meta-net",
}


@dataclass(frozen=True)
class PartSize:
    """The parameters of a part of the model."""

    parameters: int
    trained: int
    learning_rate: float | None  # None if no parameter is trained


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device; None where they cannot be determined."""

    model: int
    training: int | None  # in addition to the model, at the peak of a step
    free: int | None  # for training, after the model is loaded


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds; evaluation is assumed to take a third of the time of training, per clip."""

    steps: tuple[float, ...]  # measured, including the wait for each batch
    epoch: float
    total: float  # of the epochs left, and the evaluation of the test fold


@dataclass(frozen=True)
class TrainingEstimate:
    """What `train` would do with one run. Counts of clips are by fold or use, then by class."""

    run: str
    folder: Path
    epochs: int
    epochs_done: int  # of a stopped run, which is resumed
    finished: bool  # the run is reused, and nothing is trained
    device: str
    precision: str
    batch_size: int
    steps_per_epoch: int
    parameters: dict[str, PartSize]
    folds: dict[int, dict[str, int]]  # fold 0: clips that are never tested
    clips: dict[str, dict[str, int]]  # train, val, test
    augmentation: str  # "" if nothing is trained
    memory: MemoryEstimate
    seconds: TimeEstimate | None  # None if nothing is trained
    writes: dict[str, int | None]  # file in `folder`: bytes, None for small files
    temporary: dict[str, int]  # files in `folder` that are removed at the end of the training
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The record for JSON; keys of `folds` are text."""
        folds = {str(fold): counts for fold, counts in self.folds.items()}
        return {**asdict(self), "folder": str(self.folder), "folds": folds, "notes": list(self.notes)}


def estimate_training(
    spec: RunSpec,
    clips: PackedClips,
    runs: Path,
    *,
    device: str | None = None,
    report: Report = silent,
    note: Note = lambda _: None,
) -> TrainingEstimate:
    """Build the training that `spec` defines, measure a few steps, and return the estimates.

    `report` receives the steps done. `note` receives what `train_run` notes before its first step. Raises
    InputError, WorkError and OutOfMemory as `train_run`, InputError if torchrun started several processes,
    and Interrupted on Ctrl-C.
    """
    if launched().several:
        raise InputError(
            f"a dry run needs one process; torchrun started {launched().count}\n"
            "Give the same command without torchrun"
        )
    if spec.texts.class_names != clips.class_names:
        raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
    where, folder = choose_device(device, tf32=spec.settings.tf32), spec.folder(runs)
    require_precision(spec.settings.precision, where)
    report(0, MEASURED_STEPS + 1, "loading the model")
    with out_of_memory_error(where, "the model does not fit", "Take a smaller CLIP, or --device cpu"):
        training = Training(spec, clips, folder, where)
    settings, learning = spec.settings, training.learning
    announce(training, note)
    memory = _memory(training)
    finished, done = (folder / "result.json").is_file(), len(recorded_epochs(folder))
    by_use = {"train": learning.train, "val": learning.val, "test": training.test}
    writes, temporary = _files(training)
    steps = _measured_steps(training, report) if settings.epochs else ()
    return TrainingEstimate(
        run=folder.name,
        folder=folder,
        epochs=settings.epochs,
        epochs_done=done,
        finished=finished,
        device=device_name(where),
        precision=settings.precision,
        batch_size=training.batch_size,
        steps_per_epoch=len(training.batches) if settings.epochs else 0,
        parameters=_parts(training),
        folds={int(fold): _by_class(clips, clips.folds == fold) for fold in np.unique(clips.folds)},
        clips={use: _by_class(clips, indices) for use, indices in by_use.items()},
        augmentation=_augmentation(training) if settings.epochs else "",
        memory=memory,
        seconds=_seconds(training, steps, 0 if finished else settings.epochs - done, finished=finished)
        if steps
        else None,
        writes=writes,
        temporary=temporary,
        notes=spec.notes,
    )


def _parts(training: Training) -> dict[str, PartSize]:
    """The parameters of each submodule of the model."""
    groups = training.optimizer.param_groups if training.settings.epochs else []
    rates = {id(each): float(group["lr"]) for group in groups for each in group["params"]}
    found = {}
    for name, module in training.model.named_children():
        values = list(module.parameters())
        if not values:
            continue
        trained = [value for value in values if id(value) in rates]
        found[NAMES.get(name, name)] = PartSize(
            parameters=sum(value.numel() for value in values),
            trained=sum(value.numel() for value in trained),
            learning_rate=rates[id(trained[0])] if trained else None,
        )
    return found


def _by_class(clips: PackedClips, chosen: npt.NDArray[Any]) -> dict[str, int]:
    """Clips per class at the positions `chosen`, or where it is true."""
    counts = np.bincount(clips.labels[chosen], minlength=len(clips.class_names))
    return {name: int(count) for name, count in zip(clips.class_names, counts, strict=True)}


def _augmentation(training: Training) -> str:
    settings = training.settings
    mixed = [f"{name} {value:g}" for name in ("mixup", "cutmix") if (value := getattr(settings, name))]
    return ", ".join([augmentation_words(settings), *mixed])


def _memory(training: Training) -> MemoryEstimate:
    need = need_of(training) if training.settings.epochs else None
    known = device_memory(training.device)
    return MemoryEstimate(
        model=_bytes({**dict(training.model.named_parameters()), **dict(training.model.named_buffers())}),
        training=None if need is None else need.total,
        free=None if known is None else known.free,
    )


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(each.nbytes for each in tensors.values())


def _files(training: Training) -> tuple[dict[str, int | None], dict[str, int]]:
    """The files that a finished run has, and those that exist during its training, with their bytes."""
    model, settings = training.model, training.settings
    small = ("config.yaml", "classes.json", "texts.json", "predictions.parquet", "confusion.png")
    class_weights = 4 * int(np.prod(model.class_weights_shape()))  # float32
    weights = _bytes(kept_state(model)) + class_weights
    names = [*small, *(["metrics.jsonl"] if settings.epochs else []), "README.md", "result.json"]
    writes: dict[str, int | None] = {"model.safetensors": weights, **dict.fromkeys(names)}
    if not settings.epochs:
        return writes, {}
    copies = 1 + (2 if settings.optimizer == "adamw" else 1) + bool(settings.ema)
    temporary = {"state/checkpoint.pt": copies * _bytes(trained_state(model))}
    if settings.select != "last":
        temporary["state/best-EPOCH.safetensors"] = weights
    return writes, temporary


def _seconds(training: Training, steps: tuple[float, ...], left: int, *, finished: bool) -> TimeEstimate:
    step = sum(steps) / len(steps)
    choosing = {"last": 0, "val": len(training.learning.val), "test-best": len(training.test)}
    clip = EVALUATION * step / training.batch_size
    epoch = len(training.batches) * step + choosing[training.settings.select] * clip
    test = 0.0 if finished else len(training.test) * clip
    return TimeEstimate(steps, epoch, left * epoch + test)


class _FirstBatches:
    """The first `count` batches of `batches`, which start again if there are fewer."""

    def __init__(self, batches: Any, count: int) -> None:
        self.batches, self.count = batches, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        left = self.count
        while left:
            for batch in self.batches:
                yield batch
                left -= 1
                if not left:
                    return


def _measured_steps(training: Training, report: Report) -> tuple[float, ...]:
    """The seconds of MEASURED_STEPS steps of the first epoch. They change the model."""
    count = MEASURED_STEPS + 1
    batches = training.batches
    training.batches = _FirstBatches(batches, count)  # type: ignore[assignment]
    advice = f"Give {lower_memory(training.model, training.settings, training.device) or 'a smaller model'}"
    try:
        with (
            out_of_memory_error(training.device, "a step does not fit", advice),
            _step_ends(training) as ends,
        ):
            train_epoch(training, 1, lambda *_: report(len(ends), count, f"step {len(ends)} of {count}"))
    except KeyboardInterrupt as error:
        raise Interrupted("Stopped; a dry run writes nothing") from error
    finally:
        training.batches = batches
    return tuple(float(each) for each in np.diff(ends))


@contextmanager
def _step_ends(training: Training) -> Iterator[list[float]]:
    """A list to which the time at the end of each optimizer step is added."""
    ends: list[float] = []

    def ended(_: Optimizer, *__: object) -> None:
        if training.device.type == "cuda":
            torch.cuda.synchronize(training.device)
        ends.append(time.monotonic())

    hook = register_optimizer_step_post_hook(ended)
    try:
        yield ends
    finally:
        hook.remove()
