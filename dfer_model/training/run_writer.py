"""Writing a run's folder: its definition first, a row per epoch, the results last.

If a training stops early, the error says what is saved in the folder.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from dfer_model.data.prefetch import Loss
from dfer_model.devices import device_name
from dfer_model.errors import Interrupted, OutOfMemory, WorkError
from dfer_model.io import write_atomically
from dfer_model.memory import ran_out
from dfer_model.models.classifier import Base
from dfer_model.reports.run_card import card
from dfer_model.reports.run_figures import confusion_figure
from dfer_model.runs import FORMAT_VERSION, Predictions, Run, RunSpec, write_predictions

from .memory_need import lower_memory
from .setup import Training
from .step import not_finite

VERSIONED = ("dfer-prompts", "torch", "torchvision", "open_clip_torch", "accelerate")


@dataclass(frozen=True)
class Outcome:
    """The epoch that one selection rule chose, and its predictions for the test fold."""

    epoch: int
    predictions: Predictions


def begin_run(folder: Path, spec: RunSpec, dataset_name: str, base: Base) -> None:
    """Write classes.json, texts.json and, last, config.yaml, which makes the folder a run.

    Does nothing if the folder is a run already.
    """
    if (folder / "config.yaml").is_file():
        return
    texts = dict(zip(spec.texts.class_names, spec.texts.texts, strict=True))
    write_json(folder / "classes.json", spec.texts.class_names)
    write_json(folder / "texts.json", {"name": spec.texts.name, "sha256": spec.texts.sha256, "texts": texts})
    config = run_config(spec, dataset_name, base)
    write_atomically(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def run_config(spec: RunSpec, dataset_name: str, base: Base) -> dict[str, Any]:
    """The content of config.yaml of the run that `spec` defines."""
    return {
        "format_version": FORMAT_VERSION,
        "definition": spec.definition,
        "dataset": {
            "name": dataset_name,
            "path": str(spec.dataset.resolve() if isinstance(spec.dataset, Path) else spec.dataset),
            "fingerprint": spec.dataset_fingerprint,
            **_several(spec),
        },
        "texts": {"name": spec.texts.name, "sha256": spec.texts.sha256},
        "fold": spec.fold,
        "seed": spec.seed,
        "clip": {
            "sha256": base.sha256,
            "image_size": base.image_size,
            "mean": list(base.mean),
            "std": list(base.std),
        },
        "settings": spec.settings.model_dump(mode="json"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def _several(spec: RunSpec) -> dict[str, Any]:
    """What config.yaml records of several datasets; empty for one."""
    if not spec.parts:
        return {}
    return {"parts": [each.model_dump() for each in spec.parts], "class_set": spec.class_set}


def record_epoch(folder: Path, row: dict[str, Any]) -> None:
    """Add the row of an epoch to metrics.jsonl, replacing rows of this and later epochs."""
    rows = [earlier for earlier in recorded_epochs(folder) if earlier["epoch"] < row["epoch"]]
    write_atomically(folder / "metrics.jsonl", "".join(json.dumps(each) + "\n" for each in [*rows, row]))


def recorded_epochs(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; empty if there is no such file."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def finish_run(folder: Path, outcomes: dict[str, Outcome], facts: dict[str, Any]) -> None:
    """Write predictions, figure, card and, last, result.json; then remove state/.

    The first of `outcomes` is the one whose weights are stored. The optimizer's state is as large as the
    weights and no longer needed: a finished run is never trained further.
    """
    run = Run.open(folder)
    parts = {name: outcome.predictions for name, outcome in outcomes.items()}
    write_predictions(folder / "predictions.parquet", run.class_names, parts)
    selected = next(iter(outcomes))
    measures = {name: run.measured(part) for name, part in parts.items()}
    title = f"{run.texts.name}, fold {run.fold}, seed {run.seed} ({selected})"
    confusion_figure(folder / "confusion.png", measures[selected], run.class_names, title)
    result = {
        "selected": selected,
        "measures": {name: each.as_dict() for name, each in measures.items()},
        "epochs": {name: outcome.epoch for name, outcome in outcomes.items()},
        "seconds": round(sum(row["seconds"] for row in recorded_epochs(folder)), 1),
        **facts,
        "versions": versions(),
    }
    write_atomically(folder / "README.md", card(run, result))
    run.finish(result)
    shutil.rmtree(folder / "state", ignore_errors=True)


@cache  # reading the metadata of packages takes a tenth of a small training
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that may affect a result."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def write_json(path: Path, value: Any) -> None:
    """Write the value to `path` as indented JSON."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


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
        with suppress(Exception):  # another error is already reported
            training.writing.wait()  # the lock of the run is held until its last write ends
        training.tracking.end()


def interrupted(training: Training) -> str:
    """The message for Ctrl-C."""
    return f"Stopped; {_saved(training)}\nGive the same command again to continue"


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
        "Make the folder writable or free disk space, then give the same command again to continue"
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
    with suppress(Exception):  # a checkpoint that cannot be written is not counted
        training.writing.wait()
    epoch, epochs = training.saved.epoch, training.settings.epochs
    if not epoch:
        return f"none of {epochs} epochs was completed, so nothing is saved in {training.folder}"
    return f"{epoch} of {epochs} epochs are saved in {training.folder}"
