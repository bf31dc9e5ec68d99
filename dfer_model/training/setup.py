"""Everything that one training needs, built once: model, optimizer, and batches of the training clips.

The optimizer has a learning rate for each part of the model, and all rates follow one schedule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dfer_model.checkpoints import Background, Progress, Stateful
from dfer_model.config import Settings
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset, DecodedClips
from dfer_model.data.kept_batches import KeptBatches
from dfer_model.data.loaders import ClassBalanced, Order, Shuffled, epoch_seed, pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.resampling import finished
from dfer_model.data.splits import training_clips
from dfer_model.data.stream_loaders import batches_of
from dfer_model.data.streaming import Streamed
from dfer_model.data.votes import target_distributions
from dfer_model.devices import accelerator
from dfer_model.distributed import ALONE, Processes
from dfer_model.errors import InputError
from dfer_model.models.strategies import load_base
from dfer_model.runs import RunSpec

from .ema import Average, Mixing
from .loggers import Tracking
from .losses import LossFunction
from .step import require_accumulation, target_positions


class Trainable(Protocol):
    """A classifier, or several that are trained as one."""

    def trained_parameters(self) -> Mapping[str, list[nn.Parameter]]:
        """As `Classifier.trained_parameters`."""


def make_optimizer(model: Trainable, settings: Settings) -> tuple[Optimizer, LambdaLR]:
    """The optimizer, with a parameter group for each part that has a learning rate, and its schedule.

    Parts with learning rate 0 are frozen. SGD has momentum and adds weight decay to the gradient; AdamW
    (arXiv 1711.05101, with torch's betas) has decoupled weight decay. Both decay everything that is trained,
    including biases, norms and contexts, as in the released code of DFER-CLIP.

    On a GPU, under bfloat16 and with `fast_fp32` the step is fused, which may change the last bits.
    Raises InputError if nothing is left to train, or if the warm-up covers all epochs.
    """
    groups: list[dict[str, Any]] = []
    for name, parameters in model.trained_parameters().items():
        rate = getattr(settings, f"lr_{name}")
        if parameters and rate > 0:
            # With LoRA, the other weights of the tower are frozen already.
            trained = [parameter for parameter in parameters if parameter.requires_grad]
            groups.append({"params": trained, "lr": rate, "name": name})
        else:
            for parameter in parameters:
                parameter.requires_grad_(False)
    if not groups:
        raise InputError(
            "nothing is left to train: no part of the model has a learning rate above 0\n"
            "Give one a rate, such as --set lr_context=1e-3, or train nothing: --epochs 0"
        )
    if settings.warmup_epochs >= settings.epochs:
        raise InputError(
            f"warmup_epochs={settings.warmup_epochs} leaves no epoch of {settings.epochs} at the full rates\n"
            "Give fewer with --set warmup_epochs=..., or more epochs"
        )
    fused = settings.precision == "bf16" or settings.fast_fp32 or groups[0]["params"][0].is_cuda
    options: dict[str, Any] = {"weight_decay": settings.weight_decay, "fused": fused or None}
    optimizer: Optimizer
    if settings.optimizer == "adamw":
        optimizer = AdamW(groups, **options)
    else:
        optimizer = SGD(groups, momentum=settings.momentum, **options)
    if fused:
        optimizer.register_step_post_hook(_count_change)
    return optimizer, LambdaLR(optimizer, partial(rate_factor, settings))


def _count_change(optimizer: Optimizer, *_: object) -> None:
    """Increment the versions of the weights, which torch's fused steps do not change."""
    for group in optimizer.param_groups:
        torch.autograd.graph.increment_version(group["params"])


def rate_factor(settings: Settings, done: int) -> float:
    """What all learning rates are multiplied by in the epoch after `done` epochs, the same in all its steps.

    They rise linearly over `warmup_epochs` W: the epochs 1..W have 1/(W+1)..W/(W+1) of the rates, the next
    has all of them. Then `cosine` (arXiv 1608.03983) falls by (1 + cos(pi * t)) / 2, where t is the share of
    the epochs after warm-up that is done: 0 would be reached after the last epoch. `multistep` multiplies by
    gamma after each of `milestones`, which are counted from the first epoch, warm-up or not.
    """
    warmup = settings.warmup_epochs
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * (done - warmup) / (settings.epochs - warmup))) / 2
    return float(settings.gamma ** sum(milestone <= done for milestone in settings.milestones))


class Training:
    """The parts of one training, and its progress.

    `learned` (classes,) are the labels that occur in training; only their logits enter the loss. With several
    `processes`, `batch_size` is the size of the whole batch, of which each process computes its share.
    `cores` are those that all processes of this run on this machine may use, by default the ones of this
    process. With `resize_on_device`, the default on CUDA, frames are cropped and resized by the batch on
    `device`, else by the workers. With `save_in_thread`, the default on CUDA, checkpoints are written by a
    thread.
    """

    def __init__(
        self,
        spec: RunSpec,
        clips: PackedClips,
        folder: Path,
        device: torch.device,
        processes: Processes = ALONE,
        *,
        cores: int | None = None,
        resize_on_device: bool | None = None,
        save_in_thread: bool | None = None,
    ) -> None:
        self.cores = cores
        # A GPU crops and resizes a batch faster than the processes that decode it, to the same pixels.
        self.resize_on_device = device.type == "cuda" if resize_on_device is None else resize_on_device
        # On a CPU a copy would take memory, and a thread time, from the training itself.
        self.save_in_thread = device.type == "cuda" if save_in_thread is None else save_in_thread
        self.writing = Background()
        self.spec, self.settings, self.processes = spec, spec.settings, processes
        self.clips, self.folder, self.device = clips, folder, device
        self.checkpoint = folder / "state" / "checkpoint.pt"
        self.progress, self.tracking = Progress(), Tracking()
        self.saved = self.progress  # of the checkpoint on the disk
        self.learning = training_clips(clips, self.settings, spec.fold, spec.seed)
        self.test = clips.test_indices(spec.fold)
        # With drop_last, a fold smaller than a batch would leave no batch.
        self.batch_size = min(self.settings.batch_size, len(self.learning.train))
        self._build_model()
        if self.settings.epochs:
            self._prepare_steps()
        self._build_batches()

    def _build_model(self) -> None:
        settings, spec = self.settings, self.spec
        self.base = load_base(settings)
        self.scale = pixel_scale(settings.normalize, self.base.mean, self.base.std)
        torch.manual_seed(spec.seed)
        model = self.base.build(spec.texts.texts, spec.texts.class_names)
        self.accelerator = accelerator(self.device)
        # Evaluation uses the model itself; training uses `forward`, which may wrap it for several processes.
        self.model = self.accelerator.prepare_model(model, evaluation_mode=True)
        self.parts: dict[str, Stateful] = {}
        if settings.epochs:
            optimizer, self.scheduler = make_optimizer(model, settings)
            self.optimizer = self.accelerator.prepare(optimizer)
            self.parts = {"optimizer": self.optimizer, "scheduler": self.scheduler}
        # After the optimizer, which freezes the parts without a learning rate.
        self.parts["average"] = self.average = Average(self.model, settings.ema)

    def _prepare_steps(self) -> None:
        settings, processes = self.settings, self.processes
        processes.require_shareable(self.model, self.batch_size)
        self.forward = processes.together(self.model)
        self.learned = torch.from_numpy(self.learning.learned).to(self.device)
        self.positions = target_positions(self.learned)
        self.distributions = self._distributions()
        counts = np.bincount(self.clips.labels[self.learning.train], minlength=len(self.clips.class_names))
        self.loss_function = LossFunction(settings, torch.from_numpy(counts).to(self.device)[self.learned])
        ahead = int(processes.count > 1)
        self.mixing = Mixing(settings.mixup, settings.cutmix, len(self.learned), self.spec.seed, ahead)
        require_accumulation(self.model, settings.accumulate)

    def _distributions(self) -> Tensor | None:
        """The target distribution of each clip (clips, learned classes); None if targets are labels."""
        clips, votes = self.clips, self.clips.votes if self.settings.targets == "distribution" else None
        if votes is None:
            return None
        shares = target_distributions(votes, clips.labels, self.learning.learned)
        return torch.from_numpy(shares).to(self.device)

    def _build_batches(self) -> None:
        settings, seed, train = self.settings, self.spec.seed, self.learning.train
        resized_later = self.resize_on_device and settings.sampling != "streamed"
        self.dataset = (DecodedClips if resized_later else ClipDataset)(
            self.clips,
            train,
            frames=settings.frames,
            image_size=self.base.image_size,
            train=Augmentation.of(settings),
            seed=seed,
        )
        self.order: Order = Shuffled(self.dataset, seed)
        if settings.sampling == "class-balanced":
            self.order = ClassBalanced(self.clips.labels[train], seed)
        if settings.sampling == "streamed":
            self.order = Streamed(self.clips.shards[train], self.batch_size, seed)
        self.batches = batches_of(
            self.dataset,
            self.batch_size,
            workers=self.workers,
            sampler=self.order,
            processes=self.processes,
            mixed=bool(settings.mixup or settings.cutmix),
            pin=self.device.type == "cuda",
        )
        self.test_batches = KeptBatches()

    @property
    def workers(self) -> int:
        """How many processes read clips for this one."""
        return self.processes.workers(self.settings.workers, self.cores)

    def start_epoch(self, epoch: int) -> None:
        """Seed the epoch's random numbers, order and augmentation, and put the model into training mode."""
        torch.manual_seed(epoch_seed(self.spec.seed, epoch))
        self.dataset.set_epoch(epoch)
        self.order.epoch = epoch
        self.model.train()

    def inputs(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Frames uint8 (clips, T, 3, H, W) and targets of a batch, on the device.

        Targets are positions (clips,) among the learned classes or, with targets=distribution, distributions
        over them (clips, classes).
        """
        batch = finished(batch, self.base.image_size, brightness=self.settings.brightness_jitter > 0)
        frames = batch["frames"].to(self.device, non_blocking=True)
        if self.distributions is not None:
            return frames, self.distributions[batch["index"].to(self.device, non_blocking=True)]
        return frames, self.positions[batch["label"].to(self.device, non_blocking=True)]

    def pixels(self, frames: Tensor) -> Tensor:
        """Uint8 frames as normalised floats; under `precision=bf16` in bfloat16, unless clips are mixed."""
        direct = self.settings.precision == "bf16" and not self.mixing.on
        return self.scale(frames, torch.bfloat16 if direct else torch.float32)

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of each trained part."""
        return {group["name"]: float(group["lr"]) for group in self.optimizer.param_groups}

    def epochs_done(self, epoch: int, steps: int, evaluated: float = 0.0) -> float:
        """The number of epochs done after `steps` of `epoch` and a share `evaluated` of its evaluation.

        Evaluating a clip takes about a third of the time of training on it. An epoch counts as complete only
        after its checkpoint is saved.
        """
        choosing = {"last": 0, "val": len(self.learning.val), "test-best": len(self.test)}
        evaluation = choosing[self.settings.select] / self.batch_size / 3
        return epoch - 1 + (steps + evaluated * evaluation) / (len(self.batches) + evaluation + 1)
