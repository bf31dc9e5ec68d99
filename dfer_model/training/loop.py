"""Training one run: a plain loop that a kill may end at any time and the same call takes up again.

The recipe is DFER-CLIP's, to which settings add. The order of clips comes from (seed, epoch), their
augmentation from (seed, epoch, clip), their mixing from (seed, epoch, step): neither workers nor restarts
change a result, on a CPU not by one bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dfer_model.checkpoints import (
    Best,
    Progress,
    Stateful,
    copy_weights,
    load_state,
    save_state,
    save_weights,
)
from dfer_model.config import Settings
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset, DecodedClips
from dfer_model.data.loaders import ClassBalanced, Order, Shuffled, epoch_seed, pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.prefetch import Loss, on_device, read_late
from dfer_model.data.resampling import finished
from dfer_model.data.shared_memory import shared_memory_note
from dfer_model.data.splits import training_clips
from dfer_model.data.stream_loaders import batches_of
from dfer_model.data.stream_sampler import Streamed
from dfer_model.devices import accelerator, device_name, precision, slow_precision
from dfer_model.distributed import ALONE, Processes, ending_together, join
from dfer_model.errors import InputError, Interrupted, OutOfMemory, WorkError
from dfer_model.evaluation.evaluate import Report, predict_logits, silent
from dfer_model.evaluation.trained_model import TrainedModel
from dfer_model.memory import device_memory, ran_out, telling_of_memory
from dfer_model.metrics import measures
from dfer_model.models.strategies import load_base
from dfer_model.runs import Predictions, Run, RunSpec

from .ema import Average
from .loggers import Tracking
from .memory_need import Need, lower_memory, state_need, training_need
from .optim import make_optimizer
from .run_lock import claimed
from .run_writer import Outcome, begin_run, finish_run, record_epoch, recorded_epochs
from .step import Step, not_finite

Note = Callable[[str], object]
CHOOSING = {"val": "the validation clips", "test-best": "the test fold"}
DIFFERENT = (
    "the processes were not given the same training: other settings, texts, clips, fold or seed\n"
    "Give each machine the same command, and the same clips and descriptions"
)
UNSEEN = (
    "not all processes see the run's checkpoint\nKeep the workspace in a file system that all machines share"
)


def train_run(
    spec: RunSpec,
    clips: PackedClips,
    runs: Path,
    *,
    report: Report = silent,
    device: str | None = None,
    tracking: Tracking | None = None,
    note: Note | None = None,
) -> Run:
    """Train what `spec` defines in its folder under `runs`, and return the finished run.

    A finished run is returned as it is; one that was cut off goes on after its last whole epoch. `report` is
    told (epochs done, with a fraction within one; epochs; where it is). Processes that torchrun started train
    it together: the first of them writes and reports, and all return the run. `tracking` is told each epoch's
    figures, too, and `note`, before the first step, the memory that training needs and what will be slow.

    Raises InputError for clips, texts or settings that do not fit, or a machine whose memory is too small,
    WorkError for a loss that is not finite or a disk that is full, OutOfMemory, BusyError for a run at work
    elsewhere, Interrupted on Ctrl-C.
    """
    processes, where = join(device)
    with ending_together(processes):
        processes.require_same(spec.definition, DIFFERENT)
        folder = runs / processes.agreed(lambda: spec.folder(runs).name)
        if not processes.agreed((folder / "result.json").is_file):
            if spec.texts.class_names != clips.class_names:
                raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
            tell = report if processes.first else silent
            # Not from 0 where a run is resumed: a jump would spoil the estimate of the remaining time.
            done = len(recorded_epochs(folder))
            tell(done, spec.settings.epochs, f"reading {_starting_from(spec.settings)}")
            with telling_of_memory(where, "the model does not fit", "Take a smaller CLIP, or --device cpu"):
                training = Training(spec, clips, folder, where, processes)
            if processes.first and tracking is not None:
                training.tracking = tracking
            if note is not None:
                training.announce(note if processes.first else lambda _: None)
            with claimed(spec, runs, folder) if processes.first else nullcontext():
                # Another process may have finished it while the CLIP was read.
                if not processes.agreed((folder / "result.json").is_file):
                    with _saying_what_is_kept(training):
                        training.run(tell)
    return Run.open(folder).named(spec.texts.name)


@contextmanager
def _saying_what_is_kept(training: Training) -> Iterator[None]:
    """Word an interruption, a lack of memory and a full disk as errors that say what is kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(training.kept()) from error
    except (RuntimeError, MemoryError, OSError) as error:
        if ran_out(error) or isinstance(error, OutOfMemory):
            raise OutOfMemory(training.out_of_memory()) from error
        if not isinstance(error, OSError):
            raise
        # What is cut off may fail in its turn.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise Interrupted(training.kept()) from error
        raise WorkError(training.unwritten(error)) from error
    finally:
        training.tracking.end()


def _starting_from(settings: Settings) -> str:
    return f"CLIP {settings.clip}" if settings.uses_clip else f"{settings.classifier} {settings.weights}"


class Training:
    """The parts of one training, made once, and the loop over its epochs."""

    def __init__(
        self,
        spec: RunSpec,
        clips: PackedClips,
        folder: Path,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        self.spec, self.settings, self.processes = spec, spec.settings, processes
        self.clips, self.folder, self.device = clips, folder, device
        self.learning = training_clips(clips, self.settings, spec.fold, spec.seed)
        self.test = clips.test_indices(spec.fold)
        self.base = load_base(self.settings)
        self.scale = pixel_scale(self.settings.normalize, self.base.mean, self.base.std)
        torch.manual_seed(spec.seed)
        model = self.base.build(spec.texts.texts, spec.texts.class_names)
        self.accelerator = accelerator(device, self.settings.precision)
        # Not wrapped for several processes, which only a step knows of.
        self.model = self.accelerator.prepare_model(model, evaluation_mode=True)
        self.parts: dict[str, Stateful] = {}
        if self.settings.epochs:
            optimizer, self.scheduler = make_optimizer(model, self.settings)
            self.optimizer = self.accelerator.prepare(optimizer)
            self.parts = {"optimizer": self.optimizer, "scheduler": self.scheduler}
        # After the optimizer, which freezes what has no learning rate.
        self.parts["average"] = self.average = Average(self.model, self.settings.ema)
        # drop_last would leave nothing of a fold that is smaller than a batch
        self.batch_size = min(self.settings.batch_size, len(self.learning.train))
        if self.settings.epochs:
            processes.require_shareable(self.model, self.batch_size)
            self.step = Step(
                self.model,
                self.optimizer,
                self.average,
                self.accelerator,
                settings=self.settings,
                scale=self.scale,
                learned=torch.from_numpy(self.learning.learned).to(device),
                seed=spec.seed,
                batch_size=self.batch_size,
                processes=processes,
            )
        # A GPU crops and resizes a batch faster than the processes that decode it, to the same pixels.
        left_to_gpu = device.type == "cuda" and self.settings.sampling != "streamed"
        self.dataset = (DecodedClips if left_to_gpu else ClipDataset)(
            clips,
            self.learning.train,
            frames=self.settings.frames,
            image_size=self.base.image_size,
            train=Augmentation(self.settings.brightness_jitter, self.settings.rotation),
            seed=spec.seed,
        )
        self.order: Order = Shuffled(self.dataset, spec.seed)
        if self.settings.sampling == "class-balanced":
            self.order = ClassBalanced(clips.labels[self.learning.train], spec.seed)
        if self.settings.sampling == "streamed":
            self.order = Streamed(clips.shards[self.learning.train], self.batch_size, spec.seed)
        self.batches = batches_of(
            self.dataset,
            self.batch_size,
            workers=processes.workers(self.settings.workers),
            sampler=self.order,
            processes=processes,
            mixed=bool(self.settings.mixup or self.settings.cutmix),
        )
        self.checkpoint = folder / "state" / "checkpoint.pt"
        self.progress = Progress()
        self.tracking = Tracking()

    def announce(self, note: Note) -> None:
        """Say what will be slow and what memory is needed. Raises InputError where there is too little."""
        settings = self.settings
        if slow := slow_precision(settings.precision, self.device):
            note(slow)
        batch = self.batch_size * settings.frames * 3 * self.base.image_size**2
        workers = self.processes.workers(settings.workers) * self.processes.on_this_machine
        if shared := shared_memory_note(batch // self.processes.count, workers):
            note(shared)
        if not settings.epochs or (need := self.need()) is None:
            return
        note(state_need(need, device_memory(self.device), self.model, settings, self.device))

    def need(self) -> Need | None:
        """The memory that training takes; None for a model that cannot be measured."""
        clips = len(range(self.batch_size)[self.processes.share(self.batch_size)])
        workers = self.processes.workers(self.settings.workers)
        self.model.train()
        try:
            return training_need(self.model, self.settings, self.base.image_size, clips, self.device, workers)
        except Exception:  # noqa: BLE001 - an estimate must not keep a training from starting
            return None

    def run(self, report: Report) -> None:
        """Go back to where an earlier process left the run, train what is left, judge the last epoch."""
        if self.processes.first:
            begin_run(self.folder, self.spec, self.clips, self.base)
        self.progress = load_state(self.checkpoint, self.model, self.parts)
        trained, begun = self.progress.epoch, self.progress.row
        self.processes.require_same((trained, begun is not None), UNSEEN)
        epochs = self.settings.epochs
        self.tracking.begin(self.spec, self.folder, trained - (begun is not None))
        if begun is not None:  # interrupted while this epoch was evaluated
            self.end_epoch(begun, report)
        for epoch in range(trained + 1, epochs + 1):
            started = time.monotonic()
            rates, loss = self.learning_rates(), self.train_epoch(epoch, report)
            self.scheduler.step()
            row = {"epoch": epoch, "lr": rates, "loss": loss, "seconds": time.monotonic() - started}
            if self.settings.select != "last":
                # An interruption of the evaluation must not cost the epoch's training.
                self.save(Progress(epoch, self.progress.best, row))
            self.end_epoch(row, report)
        report(epochs, epochs, "judging the test fold")
        with self.average.in_place():
            self.finish(report)
        self.processes.agreed(lambda: "the first has written it")

    def end_epoch(self, row: Mapping[str, Any], report: Report) -> None:
        """Evaluate the trained epoch of `row` where epochs are chosen, record it and save the state."""
        started = time.monotonic()
        epoch, best, select = row["epoch"], self.progress.best, self.settings.select
        chosen_by: dict[str, Any] = {}
        if select != "last":
            with self.average.in_place():
                chosen_by[select.removesuffix("-best")], best = self.keep_best(epoch, best, report)
        seconds = round(row["seconds"] + time.monotonic() - started, 2)
        row = {**row, **chosen_by, "seconds": seconds}
        if self.processes.first:
            record_epoch(self.folder, row)
        self.save(Progress(epoch, best))
        if self.processes.first:
            self.forget_but(best)
            self.tracking.epoch(row)
        report(epoch, self.settings.epochs, f"loss {row['loss']:.3f}")

    def save(self, progress: Progress) -> None:
        """Write the checkpoint from which this run can be resumed."""
        if self.processes.first:
            save_state(self.checkpoint, progress, self.model, self.parts)
        self.progress = progress

    def train_epoch(self, epoch: int, report: Report) -> float:
        """One pass over the training clips; the mean loss. Raises WorkError where one is not finite."""
        torch.manual_seed(epoch_seed(self.spec.seed, epoch))
        self.dataset.set_epoch(epoch)
        self.order.epoch = epoch
        self.model.train()
        losses: list[float] = []
        batches = enumerate(on_device(self.batches, self.device), 1)
        size = self.base.image_size
        steps = (
            (self.step(finished(batch, size), epoch, number), batch["index"]) for number, batch in batches
        )
        for loss in read_late(steps, self.device):
            if not math.isfinite(loss.value):
                raise WorkError(self.not_finite(loss, epoch))
            losses.append(loss.value)
            told = f"epoch {epoch}, step {loss.step} of {len(self.batches)}, loss {loss.value:.3f}"
            report(self.epochs_done(epoch, loss.step), self.settings.epochs, told)
        return sum(losses) / len(losses)

    def answering(self) -> TrainedModel:
        """The model as it is now, with its class weights read."""
        self.model.eval()
        with torch.no_grad(), precision(self.settings.precision, self.device):
            class_weights = self.model.class_weights()
        return TrainedModel(self.model, class_weights, self.scale, self.base.image_size)

    def epochs_done(self, epoch: int, steps: int, evaluated: float = 0.0) -> float:
        """How many epochs are done after `steps` of `epoch` and a share `evaluated` of the clips that choose.

        A clip takes about a third of the time to evaluate that it takes to train on. Only an epoch that is
        saved counts as a whole one.
        """
        choosing = {"last": 0, "val": len(self.learning.val), "test-best": len(self.test)}
        evaluation = choosing[self.settings.select] / self.batch_size / 3
        return epoch - 1 + (steps + evaluated * evaluation) / (len(self.batches) + evaluation + 1)

    def judge(
        self, model: TrainedModel, indices: npt.NDArray[np.int64], report: Report = silent
    ) -> Predictions:
        """What `model` answers for the clips at `indices`, of which several processes ask it their shares."""
        own = indices[self.processes.share(len(indices))]
        logits = np.zeros((0, len(self.clips.class_names)), np.float32)
        if len(own):
            workers = self.processes.workers(self.settings.workers)
            settings = self.settings.model_copy(update={"workers": workers})
            logits = predict_logits(model, self.clips, own, settings, self.device, report)
        logits = self.processes.gathered(logits, len(indices))
        return Predictions(
            [self.clips.clip_ids[index] for index in indices], self.clips.labels[indices], logits
        )

    def keep_best(
        self, epoch: int, best: Best | None, report: Report = silent
    ) -> tuple[dict[str, float], Best]:
        """The figures by which epochs are chosen, and the best one with this; its weights are kept if it is.

        The best is by WAR, of equals the first: so chooses the released code, on the test fold.
        """
        model = self.answering()
        by_test = self.settings.select == "test-best"
        judging = f"epoch {epoch}: judging {CHOOSING[self.settings.select]}"

        def evaluating(done: int, total: int, _: str = "") -> None:
            place = self.epochs_done(epoch, len(self.batches), done / total)
            report(place, self.settings.epochs, f"{judging}, clip {done} of {total}" if done else judging)

        evaluating(0, 1)
        choosing = self.judge(model, self.test if by_test else self.learning.val, evaluating)
        measured = measures(choosing.labels, choosing.logits.argmax(axis=1), self.clips.class_names)
        if best is None or measured.war > best.war:
            judged = choosing if by_test else self.judge(model, self.test)
            best = Best(epoch, measured.war, torch.from_numpy(judged.logits))
            if self.processes.first:
                save_weights(self.best_weights(epoch), self.model, model.class_weights)
        return {"uar": measured.uar, "war": measured.war}, best

    def best_weights(self, epoch: int) -> Path:
        """Where the weights of an epoch are that is the best so far.

        Each has a file of its own: a process that is killed between weights and checkpoint leaves those that
        the checkpoint before is about.
        """
        return self.folder / "state" / f"best-{epoch}.safetensors"

    def forget_but(self, best: Best | None) -> None:
        """Remove the weights of epochs that were the best before."""
        for path in self.folder.glob("state/best-*.safetensors"):
            if best is None or path != self.best_weights(best.epoch):
                path.unlink()

    def finish(self, report: Report = silent) -> None:
        """Judge the last epoch and write weights, predictions, figures and card; the marker comes last."""
        trained = self.answering()
        epochs = self.settings.epochs

        def evaluating(done: int, total: int, _: str = "") -> None:
            report(epochs, epochs, f"judging the test fold, clip {done} of {total}")

        last = self.judge(trained, self.test, evaluating)
        if not self.processes.first:
            return
        weights = self.folder / "model.safetensors"
        outcomes = {"last": Outcome(self.settings.epochs, last)}
        best = self.progress.best
        if best is None:
            save_weights(weights, self.model, trained.class_weights)
        else:
            copy_weights(self.best_weights(best.epoch), weights)
            chosen = Outcome(best.epoch, last._replace(logits=best.logits.numpy()))
            outcomes = {self.settings.select: chosen, **outcomes}
        finish_run(self.folder, outcomes, self.facts())
        self.tracking.result(Run.open(self.folder).result)

    def facts(self) -> dict[str, Any]:
        """What result.json records beside the measures."""
        notes = list(self.spec.notes)
        if not self.settings.epochs:
            notes.append("no epochs: nothing was trained, and the model answers as it began")
        if self.settings.epochs and self.batch_size < self.settings.batch_size:
            notes.append(
                f"the fold has {len(self.learning.train)} training clips, fewer than batch_size="
                f"{self.settings.batch_size}: each step took them all"
            )
        return {
            "clips": {
                "train": len(self.learning.train),
                "val": len(self.learning.val),
                "test": len(self.test),
            },
            "device": self.processes.of(device_name(self.device)),
            "precision": self.settings.precision,
            "notes": notes,
        }

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of each part that is trained."""
        return {group["name"]: float(group["lr"]) for group in self.optimizer.param_groups}

    def kept(self) -> str:
        """What remains of a training that is stopped now, in two lines."""
        return f"Stopped; {self._whole()}\nGive the same command again to go on"

    def out_of_memory(self) -> str:
        """What to say when memory ran out, in two lines."""
        ways = lower_memory(self.model, self.settings)
        return (
            f"memory ran out on {device_name(self.device)}; {self._whole()}\n"
            f"Give the same command again with {ways or 'a smaller model'}"
        )

    def unwritten(self, error: OSError) -> str:
        """What to say when the disk takes no more, in two lines."""
        where = f" ({Path(error.filename).name})" if error.filename else ""
        return (
            f"{error.strerror or error}{where}; {self._whole()}\n"
            "Once that folder can be written, give the same command again to go on"
        )

    def _whole(self) -> str:
        epoch, epochs = self.progress.epoch, self.settings.epochs
        which = f"{epoch} of {epochs} epochs are" if epoch else f"no epoch of {epochs} was whole, nothing is"
        return f"{which} kept in {self.folder}"

    def not_finite(self, loss: Loss, epoch: int) -> str:
        """What to say about such a loss, in two lines."""
        return not_finite(
            f"the loss is {loss.value}",
            f"epoch {epoch}, step {loss.step} of {self.folder.name}",
            [self.clips.clip_ids[index] for index in loss.clips],
            {f"lr_{name}": rate for name, rate in self.learning_rates().items()},
            self.settings.precision,
        )
