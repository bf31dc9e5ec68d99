"""Training of one run: start or resume it, train its epochs, save a checkpoint after each.

`train_epoch` is the training loop. The recipe is DFER-CLIP's, extended by settings. The order of clips
depends on (seed, epoch), augmentation on (seed, epoch, clip), mixing on (seed, epoch, step). Therefore
neither workers nor restarts change a result; on a CPU it is bit-equal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dfer_model.checkpoints import Progress, host_state, load_state, save_state, write_state
from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.prefetch import LateLosses, Loss, prefetched
from dfer_model.devices import precision, require_precision
from dfer_model.distributed import ending_together, join
from dfer_model.errors import InputError, WorkError
from dfer_model.memory import out_of_memory_error
from dfer_model.progress import Note, Report, silent
from dfer_model.runs import Run, RunSpec

from .loggers import Tracking
from .memory_need import announce
from .run_lock import claimed
from .run_writer import (
    begin_run,
    loss_not_finite,
    record_epoch,
    recorded_epochs,
    stopping_with_message,
)
from .selection import evaluate_epoch, finish, remove_weights_except
from .setup import Training
from .step import batch_parts

DIFFERENT = (
    "the processes were started with different settings, texts, clips, fold or seed\n"
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
    cores: int | None = None,
) -> Run:
    """Train the run that `spec` defines in its folder under `runs`, and return the finished run.

    A finished run is returned without training; an interrupted one is resumed after its last complete epoch.
    `report` receives (epochs done, with a fraction within an epoch; epochs; a message). Processes started by
    torchrun train the run together: the first one writes and reports, and all return the run. `tracking`
    receives the figures of each epoch. `note` receives, before the first step, the memory that training
    needs and warnings about shared memory. `cores` are those that the run may use for reading clips, by
    default all of this process.

    Raises InputError for clips, texts or settings that do not fit, a machine whose memory is too small, or a
    device without bfloat16 if it is set, WorkError for a loss that is not finite or a full disk, OutOfMemory,
    BusyError if another process trains the run, Interrupted on Ctrl-C.
    """
    processes, where = join(device, tf32=spec.settings.tf32)
    with ending_together(processes):
        processes.require_same(spec.definition, DIFFERENT)
        folder = runs / processes.agreed(lambda: spec.folder(runs).name)
        if not processes.agreed((folder / "result.json").is_file):
            if spec.texts.class_names != clips.class_names:
                raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
            require_precision(spec.settings.precision, where)
            tell = report if processes.first else silent
            # A resumed run does not start at 0: a jump would distort the estimate of the remaining time.
            done = len(recorded_epochs(folder))
            tell(done, spec.settings.epochs, f"loading {_initial_model(spec.settings)}")
            with out_of_memory_error(where, "the model does not fit", "Take a smaller CLIP, or --device cpu"):
                training = Training(spec, clips, folder, where, processes, cores=cores)
            if processes.first and tracking is not None:
                training.tracking = tracking
            if note is not None:
                announce(training, note if processes.first else lambda _: None)
            with claimed(spec, runs, folder) if processes.first else nullcontext():
                # Another process may have finished the run while the model was loaded.
                if not processes.agreed((folder / "result.json").is_file):
                    with stopping_with_message(training):
                        train(training, tell)
    return Run.open(folder).named(spec.texts.name)


def _initial_model(settings: Settings) -> str:
    return f"CLIP {settings.clip}" if settings.uses_clip else f"{settings.classifier} {settings.weights}"


def train(training: Training, report: Report) -> None:
    """Load the checkpoint if there is one, train the remaining epochs, evaluate the test fold."""
    settings, processes = training.settings, training.processes
    if processes.first:
        begin_run(training.folder, training.spec, training.clips.name, training.base)
    training.progress = training.saved = load_state(training.checkpoint, training.model, training.parts)
    trained, begun = training.progress.epoch, training.progress.row
    processes.require_same((trained, begun is not None), UNSEEN)
    epochs = settings.epochs
    training.tracking.begin(training.spec, training.folder, trained - (begun is not None))
    if begun is not None:  # interrupted during the evaluation of this epoch
        end_epoch(training, begun, report)
    for epoch in range(trained + 1, epochs + 1):
        started = time.monotonic()
        rates, loss = training.learning_rates(), train_epoch(training, epoch, report)
        training.scheduler.step()
        row = {"epoch": epoch, "lr": rates, "loss": loss, "seconds": time.monotonic() - started}
        if settings.select != "last":
            # An interrupted evaluation must not cost the training of the epoch.
            save_checkpoint(training, Progress(epoch, training.progress.best, row))
        end_epoch(training, row, report)
    training.writing.wait()
    report(epochs, epochs, "evaluating the test fold")
    with training.average.in_place():
        finish(training, report)
    processes.agreed(lambda: "the first process has written the run")


def train_epoch(training: Training, epoch: int, report: Report) -> float:
    """Train one epoch; return the mean loss of its steps. Raises WorkError if a loss is not finite."""
    settings, processes = training.settings, training.processes
    late, losses = LateLosses(training.device), []
    training.start_epoch(epoch)
    for step, batch in enumerate(prefetched(training.batches, training.device), 1):
        frames, labels = training.inputs(batch)  # uint8 (clips, T, 3, H, W), (clips,)
        training.optimizer.zero_grad()
        parts = []
        for part in batch_parts(frames, labels, settings.accumulate, training.mixing):
            # Processes exchange gradients once per batch, after its last part.
            with nullcontext() if part.last else processes.unsynchronised(training.forward):
                pixels, targets = part.mixing(training.pixels(part.frames), part.labels, epoch, step)
                with precision(settings.precision, training.device):
                    logits = training.forward(pixels).float()[:, training.learned]  # (clips, learned classes)
                loss = training.loss_function(logits, targets)
                loss = processes.weighted(loss, len(targets), training.batch_size)
                training.accelerator.backward(loss)
            parts.append(loss.detach())
            del pixels, logits, loss  # not held during the next forward pass
        training.optimizer.step()
        training.average.update()
        total = processes.mean(torch.stack(parts).sum() if len(parts) > 1 else parts[0])
        losses += log(training, epoch, late.push(step, total, batch["index"]), report)
    losses += log(training, epoch, late.flush(), report)
    return sum(losses) / len(losses)


def log(training: Training, epoch: int, losses: Iterable[Loss], report: Report) -> list[float]:
    """Report the losses that were read; return their values. Raises WorkError if one is not finite."""
    values = []
    for loss in losses:
        if not math.isfinite(loss.value):
            raise WorkError(loss_not_finite(training, loss, epoch))
        values.append(loss.value)
        message = f"epoch {epoch}, step {loss.step} of {len(training.batches)}, loss {loss.value:.3f}"
        report(training.epochs_done(epoch, loss.step), training.settings.epochs, message)
    return values


def end_epoch(training: Training, row: Mapping[str, Any], report: Report) -> None:
    """Evaluate the trained epoch of `row` if epochs are selected, record it and save the checkpoint."""
    started = time.monotonic()
    epoch, best, select = row["epoch"], training.progress.best, training.settings.select
    chosen_by: dict[str, Any] = {}
    if select != "last":
        with training.average.in_place():
            chosen_by[select.removesuffix("-best")], best = evaluate_epoch(training, epoch, best, report)
    row = {**row, **chosen_by, "seconds": round(row["seconds"] + time.monotonic() - started, 2)}
    if training.processes.first:
        record_epoch(training.folder, row)
    save_checkpoint(training, Progress(epoch, best), lambda: remove_weights_except(training, best))
    if training.processes.first:
        training.tracking.epoch(row)
    report(epoch, training.settings.epochs, f"loss {row['loss']:.3f}")


def save_checkpoint(training: Training, progress: Progress, then: Callable[[], None] = lambda: None) -> None:
    """Write the checkpoint from which this run can be resumed, and call `then`, in the first process.

    With `training.save_in_thread` the state is copied to host memory, and a thread writes it during the next
    epoch. Raises OSError if it, or then the previous one, could not be written.
    """
    training.writing.wait()
    training.progress = progress

    def write(state: Mapping[str, Any] | None = None) -> None:
        if state is None:
            save_state(training.checkpoint, progress, training.model, training.parts)
        else:
            write_state(training.checkpoint, state)
        training.saved = progress
        then()

    if not training.processes.first:
        training.saved = progress
    elif training.save_in_thread:
        training.writing.start(partial(write, host_state(progress, training.model, training.parts)))
    else:
        write()
