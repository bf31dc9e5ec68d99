"""Training one run: a plain loop that a kill may end at any time and the same call takes up again.

The recipe is DFER-CLIP's. The order of clips comes from (seed, epoch), their augmentation
from (seed, epoch, clip): neither workers nor restarts change a result, on a CPU not by one bit.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from filelock import FileLock, Timeout
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR

from .batches import Batches, Shuffled, epoch_seed, pixel_scale
from .checkpoints import Best, Progress, load_state, save_state, save_weights
from .clip import load_clip
from .data.augmentation import Augmentation
from .data.loading import ClipDataset
from .data.packed import PackedClips
from .devices import accelerator, choose_device, device_name, precision
from .dfer_clip import DferClip
from .errors import InputError, Interrupted, WorkError
from .evaluation import Report, predict_logits, silent
from .files import replacing
from .metrics import measures
from .run_writer import Outcome, begin_run, finish_run, record_epoch
from .runs import Predictions, Run, RunSpec
from .settings import Settings
from .trained_model import TrainedModel


def train_run(
    spec: RunSpec,
    clips: PackedClips,
    runs: Path,
    *,
    report: Report = silent,
    device: str | None = None,
) -> Run:
    """Train what `spec` defines in its folder under `runs`, and return the finished run.

    A finished run is returned as it is; one that was cut off goes on after its last whole epoch. `report` is
    told (epochs done, epochs, where it is). Raises InputError for clips, texts or settings that do not fit,
    WorkError for a loss that is not finite or a run at work elsewhere, Interrupted on Ctrl-C.
    """
    folder = spec.folder(runs)
    if not (folder / "result.json").is_file():
        if spec.texts.class_names != clips.class_names:
            raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
        report(0, spec.settings.epochs, f"reading CLIP {spec.settings.clip}")
        training = Training(spec, clips, folder, choose_device(device))
        with _alone_in(folder):
            # Another process may have finished it while the CLIP was read.
            if not (folder / "result.json").is_file():
                try:
                    training.run(report)
                except KeyboardInterrupt as error:
                    raise Interrupted(training.kept()) from error
    return Run.open(folder).named(spec.texts.name)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the run's lock, which a killed process loses, and clear what one left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            for left in [*folder.glob(".*.[0-9]*"), *folder.glob("state/.*.[0-9]*")]:
                left.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise WorkError(
            f"another process is training {folder}\nWait for it, then give the same command again"
        ) from error


class Training:
    """The parts of one training, made once, and the loop over its epochs."""

    def __init__(self, spec: RunSpec, clips: PackedClips, folder: Path, device: torch.device) -> None:
        self.spec, self.settings = spec, spec.settings
        self.clips, self.folder, self.device = clips, folder, device
        self.train, self.test = clips.train_indices(spec.fold), clips.test_indices(spec.fold)
        self.clip = load_clip(self.settings.clip, self.settings.weights)
        self.scale = pixel_scale(self.settings.normalize, self.clip.mean, self.clip.std)
        torch.manual_seed(spec.seed)
        model = DferClip(self.clip, spec.texts.texts, self.settings, class_names=spec.texts.class_names)
        optimizer, self.scheduler = make_optimizer(model, self.settings)
        self.accelerator = accelerator(device, self.settings.precision)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.dataset = ClipDataset(
            clips,
            self.train,
            frames=self.settings.frames,
            image_size=self.clip.image_size,
            train=Augmentation(self.settings.brightness_jitter, self.settings.rotation),
            seed=spec.seed,
        )
        self.order = Shuffled(self.dataset, spec.seed)
        # drop_last would leave nothing of a fold that is smaller than a batch
        self.batch_size = min(self.settings.batch_size, len(self.train))
        self.batches = Batches(
            self.dataset, self.batch_size, workers=self.settings.workers, sampler=self.order
        )
        self.checkpoint = folder / "state" / "checkpoint.pt"
        self.best_weights = folder / "state" / "best.safetensors"
        self.progress = Progress()

    def run(self, report: Report) -> None:
        """Go back to where an earlier process left the run, train what is left, judge the last epoch."""
        begin_run(self.folder, self.spec, self.clips, self.clip)
        self.progress = load_state(self.checkpoint, self.model, self.optimizer, self.scheduler)
        epochs = self.settings.epochs
        for epoch in range(self.progress.epoch + 1, epochs + 1):
            started = time.monotonic()
            row: dict[str, Any] = {"epoch": epoch, "lr": self.learning_rates()}
            row["loss"] = self.train_epoch(epoch, report)
            self.scheduler.step()
            best = self.progress.best
            if self.settings.select == "test-best":
                report(epoch - 1, epochs, f"epoch {epoch}: judging the test fold")
                row["test"], best = self.keep_best(epoch, best)
            row["seconds"] = round(time.monotonic() - started, 2)
            record_epoch(self.folder, row)
            progress = Progress(epoch, best)
            save_state(self.checkpoint, progress, self.model, self.optimizer, self.scheduler)
            self.progress = progress
            report(epoch, epochs, f"loss {row['loss']:.3f}")
        report(epochs, epochs, "judging the test fold")
        self.finish()

    def train_epoch(self, epoch: int, report: Report) -> float:
        """One pass over the training clips; the steps' mean loss. Raises WorkError when one is not finite."""
        torch.manual_seed(epoch_seed(self.spec.seed, epoch))
        self.dataset.set_epoch(epoch)
        self.order.epoch = epoch
        self.model.train()
        losses: list[float] = []
        for batch in self.batches:
            frames = self.scale(batch["frames"].to(self.device, non_blocking=True))  # (clips, T, 3, H, W)
            labels = batch["label"].to(self.device, non_blocking=True)
            loss = F.cross_entropy(self.model(frames), labels)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise WorkError(self.not_finite(losses[-1], epoch, len(losses)))
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            self.optimizer.step()
            step = f"epoch {epoch}, step {len(losses)} of {len(self.batches)}, loss {losses[-1]:.3f}"
            report(epoch - 1, self.settings.epochs, step)
        return sum(losses) / len(losses)

    def judge(self) -> tuple[TrainedModel, Predictions]:
        """The model as it is now with its class weights fixed, and its answers to the test fold."""
        self.model.eval()
        with torch.no_grad(), precision(self.settings.precision, self.device):
            class_weights = self.model.class_weights()
        trained = TrainedModel(self.model, class_weights, self.scale, self.clip.image_size)
        logits = predict_logits(trained, self.clips, self.test, self.settings, self.device)
        clip_ids = [self.clips.clip_ids[index] for index in self.test]
        return trained, Predictions(clip_ids, self.clips.labels[self.test], logits)

    def keep_best(self, epoch: int, best: Best | None) -> tuple[dict[str, float], Best]:
        """The test figures of this epoch, and the best one with it; its weights are kept when it is this.

        The best is by WAR, of equals the first: so chooses the released code.
        """
        trained, (_, labels, logits) = self.judge()
        measured = measures(labels, logits.argmax(axis=1), self.clips.class_names)
        if best is None or measured.war > best.war:
            best = Best(epoch, measured.war, torch.from_numpy(logits))
            save_weights(self.best_weights, self.model, trained.class_weights)
        return {"uar": measured.uar, "war": measured.war}, best

    def finish(self) -> None:
        """Judge the last epoch and write weights, predictions, figures and card; the marker comes last."""
        trained, last = self.judge()
        weights = self.folder / "model.safetensors"
        best = self.progress.best
        if best is None:
            save_weights(weights, self.model, trained.class_weights)
            outcomes = {"last": Outcome(self.settings.epochs, last)}
        else:
            with replacing(weights) as temporary:
                shutil.copyfile(self.best_weights, temporary)
            chosen = last._replace(logits=best.logits.numpy())
            outcomes = {"test-best": Outcome(best.epoch, chosen), "last": Outcome(self.settings.epochs, last)}
        finish_run(self.folder, outcomes, self.facts())

    def facts(self) -> dict[str, Any]:
        """What result.json records beside the measures."""
        notes = []
        if self.batch_size < self.settings.batch_size:
            notes.append(
                f"the fold has {len(self.train)} training clips, fewer than batch_size="
                f"{self.settings.batch_size}: each step took them all"
            )
        return {
            "clips": {"train": len(self.train), "test": len(self.test)},
            "device": device_name(self.device),
            "precision": self.settings.precision,
            "notes": notes,
        }

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of each part that is trained."""
        return {group["name"]: float(group["lr"]) for group in self.optimizer.param_groups}

    def kept(self) -> str:
        """What remains of a training that is stopped now, in two lines."""
        epoch, epochs = self.progress.epoch, self.settings.epochs
        which = f"{epoch} of {epochs} epochs are" if epoch else f"no epoch of {epochs} was whole, nothing is"
        return f"Stopped; {which} kept in {self.folder}\nGive the same command again to go on"

    def not_finite(self, loss: float, epoch: int, step: int) -> str:
        """What to say about such a loss, in two lines."""
        rates = ", ".join(f"lr_{name}={rate:g}" for name, rate in self.learning_rates().items())
        bf16 = ", or --set precision=fp32" if self.settings.precision == "bf16" else ""
        return (
            f"the loss is {loss} in epoch {epoch}, step {step} of {self.folder.name}\n"
            f"Try lower learning rates than {rates} (--set lr_image=...){bf16}"
        )


def make_optimizer(model: DferClip, settings: Settings) -> tuple[SGD, MultiStepLR]:
    """SGD with a group of parameters for each part that is there and has a learning rate, and its schedule.

    A part with learning rate 0 is frozen. Raises InputError when that leaves nothing to train.
    """
    rates = {"image": settings.lr_image, "temporal": settings.lr_temporal, "context": settings.lr_context}
    groups: list[dict[str, Any]] = []
    for name, parameters in model.trained_parameters().items():
        if parameters and rates[name] > 0:
            groups.append({"params": parameters, "lr": rates[name], "name": name})
        else:
            for parameter in parameters:
                parameter.requires_grad_(False)
    if not groups:
        raise InputError(
            "nothing is left to train: no part of the model has a learning rate above 0\n"
            "Give one a rate, such as --set lr_context=1e-3"
        )
    optimizer = SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return optimizer, MultiStepLR(optimizer, list(settings.milestones), settings.gamma)
