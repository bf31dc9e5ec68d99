"""Writing a run's folder: its definition first, a row per epoch, the results last."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from dfer_model.io import write_atomically
from dfer_model.models.classifier import Base
from dfer_model.reports.run_card import card
from dfer_model.reports.run_figures import confusion_figure
from dfer_model.runs import FORMAT_VERSION, Predictions, Run, RunSpec, write_predictions

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
    measured = run.measured(parts[selected])
    title = f"{run.texts.name}, fold {run.fold}, seed {run.seed} ({selected})"
    confusion_figure(folder / "confusion.png", measured, run.class_names, title)
    result = {
        "selected": selected,
        "measures": {name: run.measured(part).as_dict() for name, part in parts.items()},
        "epochs": {name: outcome.epoch for name, outcome in outcomes.items()},
        "seconds": round(sum(row["seconds"] for row in recorded_epochs(folder)), 1),
        **facts,
        "versions": versions(),
    }
    write_atomically(folder / "README.md", card(run, result))
    run.finish(result)
    shutil.rmtree(folder / "state", ignore_errors=True)


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
