"""Everything that one training needs, built once: model, optimizer, and batches of the training clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dfer_model.checkpoints import Progress, Stateful
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset, DecodedClips
from dfer_model.data.loaders import ClassBalanced, Order, Shuffled, epoch_seed, pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.resampling import finished
from dfer_model.data.splits import training_clips
from dfer_model.data.stream_loaders import batches_of
from dfer_model.data.stream_sampler import Streamed
from dfer_model.devices import accelerator
from dfer_model.distributed import ALONE, Processes
from dfer_model.models.strategies import load_base
from dfer_model.runs import RunSpec

from .ema import Average
from .loggers import Tracking
from .mixup import Mixing
from .optim import make_optimizer
from .step import require_accumulation, target_positions


class Training:
    """The parts of one training, and its progress.

    `learned` (classes,) are the labels that occur in training; only their logits enter the loss. With several
    `processes`, `batch_size` is the size of the whole batch, of which each process computes its share.
    `cores` are those that all processes of this run on this machine may use, by default the ones of this
    process. With `resize_on_device`, the default on CUDA, frames are cropped and resized by the batch on
    `device`, else by the workers.
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
    ) -> None:
        self.cores = cores
        # A GPU crops and resizes a batch faster than the processes that decode it, to the same pixels.
        self.resize_on_device = device.type == "cuda" if resize_on_device is None else resize_on_device
        self.spec, self.settings, self.processes = spec, spec.settings, processes
        self.clips, self.folder, self.device = clips, folder, device
        self.checkpoint = folder / "state" / "checkpoint.pt"
        self.progress, self.tracking = Progress(), Tracking()
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
        ahead = int(processes.count > 1)
        self.mixing = Mixing(settings.mixup, settings.cutmix, len(self.learned), self.spec.seed, ahead)
        require_accumulation(self.model, settings.accumulate)

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
        """Frames uint8 (clips, T, 3, H, W) and target positions (clips,) of a batch, on the device."""
        batch = finished(batch, self.base.image_size)
        frames = batch["frames"].to(self.device, non_blocking=True)
        return frames, self.positions[batch["label"].to(self.device, non_blocking=True)]

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
