"""Messages of a training that stops early, and the errors that carry them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfer_model.data.prefetch import Loss
from dfer_model.devices import device_name
from dfer_model.errors import Interrupted, OutOfMemory, WorkError
from dfer_model.memory import ran_out

from .memory_need import lower_memory
from .setup import Training
from .step import not_finite


@contextmanager
def stopping_with_message(training: Training) -> Iterator[None]:
    """Turn Ctrl-C, lack of memory and a full disk into errors that say what is saved; end the tracking."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(interrupted(training)) from error
    except (RuntimeError, MemoryError, OSError) as error:
        if ran_out(error) or isinstance(error, OutOfMemory):
            raise OutOfMemory(out_of_memory(training)) from error
        if not isinstance(error, OSError):
            raise
        # Ctrl-C during a write can raise an OSError in turn.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise Interrupted(interrupted(training)) from error
        raise WorkError(not_written(training, error)) from error
    finally:
        training.tracking.end()


def interrupted(training: Training) -> str:
    """The message for Ctrl-C."""
    return f"Stopped; {_saved(training)}\nGive the same command again to go on"


def out_of_memory(training: Training) -> str:
    """The message when memory ran out."""
    ways = lower_memory(training.model, training.settings, training.device)
    return (
        f"memory ran out on {device_name(training.device)}; {_saved(training)}\n"
        f"Give the same command again with {ways or 'a smaller model'}"
    )


def not_written(training: Training, error: OSError) -> str:
    """The message for a file that cannot be written, such as on a full disk."""
    where = f" ({Path(error.filename).name})" if error.filename else ""
    return (
        f"{error.strerror or error}{where}; {_saved(training)}\n"
        "Make the folder writable or free disk space, then give the same command again to go on"
    )


def loss_not_finite(training: Training, loss: Loss, epoch: int) -> str:
    """The message for a loss that is not finite."""
    return not_finite(
        f"the loss is {loss.value}",
        f"epoch {epoch}, step {loss.step} of {training.folder.name}",
        [training.clips.clip_ids[index] for index in loss.clips],
        {f"lr_{name}": rate for name, rate in training.learning_rates().items()},
        training.settings.precision,
    )


def _saved(training: Training) -> str:
    epoch, epochs = training.progress.epoch, training.settings.epochs
    if not epoch:
        return f"none of {epochs} epochs was completed, so nothing is saved in {training.folder}"
    return f"{epoch} of {epochs} epochs are saved in {training.folder}"
