"""Zero-shot models: CLIP with the class texts of a description set, without clips and without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dfer_model.checkpoints import save_weights
from dfer_model.devices import choose_device, device_name
from dfer_model.errors import InputError
from dfer_model.evaluation.trained_model import TrainedModel, with_class_weights
from dfer_model.io import write_atomically
from dfer_model.launch import launched
from dfer_model.models.classifier import Base, Classifier
from dfer_model.models.strategies import load_base
from dfer_model.reports.run_card import card
from dfer_model.runs import Run, RunSpec

from .run_lock import claimed
from .run_writer import begin_run, run_config, versions

NOTE = (
    "zero-shot without a dataset: nothing was trained or evaluated; "
    "dfer-prompts evaluate RUN --dataset DIR evaluates it"
)


def untrained_model(spec: RunSpec, runs: Path, device: torch.device) -> tuple[Run, TrainedModel]:
    """The model that `spec` defines, in eval mode on `device`, and its description as a run.

    The run is not written: its folder is the one under `runs` that `untrained_run` would write. Raises
    InputError as `load_base` does, and for a text that does not fit the text tower.
    """
    base, model = _built(spec)
    run = Run(spec.folder(runs), run_config(spec, "", base), spec.texts)
    return run, with_class_weights(model, base, spec.settings, device)


def untrained_run(spec: RunSpec, runs: Path, *, device: str | None = None) -> Run:
    """Write the run that `spec` defines under `runs`, or reuse it; it has no measures and no predictions.

    Raises as `untrained_model`, InputError in one of several processes of torchrun, and BusyError while
    another process writes the run.
    """
    if launched().several:
        raise InputError(
            f"a zero-shot run without a dataset is made by one process; torchrun started {launched().count}\n"
            "Run the command without torchrun"
        )
    folder, where = spec.folder(runs), choose_device(device, tf32=spec.settings.tf32)
    if not (folder / "result.json").is_file():
        base, model = _built(spec)
        trained = with_class_weights(model, base, spec.settings, where)
        with claimed(spec, runs, folder):
            begin_run(folder, spec, "", base)
            save_weights(folder / "model.safetensors", model, trained.class_weights)
            run, result = Run.open(folder), _result(spec, where)
            write_atomically(folder / "README.md", card(run, result))
            run.finish(result)
    return Run.open(folder).named(spec.texts.name)


def _built(spec: RunSpec) -> tuple[Base, Classifier]:
    base = load_base(spec.settings)
    return base, base.build(spec.texts.texts, spec.texts.class_names)


def _result(spec: RunSpec, device: torch.device) -> dict[str, Any]:
    return {
        "selected": "last",
        "measures": {},
        "epochs": {"last": 0},
        "seconds": 0.0,
        "clips": {"train": 0, "val": 0, "test": 0},
        "device": device_name(device),
        "precision": spec.settings.precision,
        "notes": [*spec.notes, NOTE],
        "versions": versions(),
    }
