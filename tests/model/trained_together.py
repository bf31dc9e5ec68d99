"""The work of two processes started by torchrun: trainings that they share, then the command `train`.

`main` trains all of TRAININGS in FOLDER/runs and writes what each process recorded to
FOLDER/rank0.json and rank1.json.
Then it runs the commands of `commands` in turn. The test interrupts the last one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

# Imported here and not in `main`: the fork server imports this module once for both processes.
import dfer_prompts.api.train  # noqa: F401
from dfer_model.data.packed import PackedClips
from dfer_model.distributed import join
from dfer_model.training.loop import train_run
from dfer_model.training.selection import current_model, predict
from dfer_model.training.setup import Training
from dfer_prompts.cli import main as command_line

from . import tiny

TRAININGS: dict[str, dict[str, Any]] = {
    # Shares of 1 and 2 clips: the mean of the batch is not the mean of the two means.
    "resumed, with unequal shares": {
        "batch_size": 3, "label_smoothing": 0.1, "epochs": 3, "lr_image": 1e-3,
    },
    "all settings": {
        "batch_size": 3, "epochs": 2, "optimizer": "adamw", "schedule": "cosine", "lr_temporal": 1e-3,
        "mixup": 0.4, "cutmix": 1.0, "ema": 0.9, "select": "test-best", "learned_temperature": True,
        "sampling": "class-balanced",
    },
    "accumulated": {
        "batch_size": 8, "epochs": 1, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "lr_image": 1e-3,
        "accumulate": 3,
    },
    "CoCoOp": {"classifier": "cocoop", "context_kind": "unified", "batch_size": 4, "epochs": 1},
}  # fmt: skip
CHOICES = (
    "--descriptions v1@1 --device cpu --set frames=4 --set contexts=2 --set batch_size=4 --set workers=0"
)


def commands(dataset: str, folder: Path) -> list[list[str]]:
    """A training that ends, and one with so many epochs that it does not."""
    base = ["dfer-prompts", "--workspace", str(folder), "train", "--dataset", dataset, *CHOICES.split()]
    base += ["--set", f"clip={tiny.register()}", "--set", "weights=random"]
    return [[*base, "--epochs", "1"], [*base, "--epochs", "100000"]]


def main(dataset: str, out: Path, threads: int) -> None:
    """Run in each of the two processes."""
    torch.set_num_threads(threads)
    clips = PackedClips.open(dataset)
    messages: list[str] = []
    for changed in TRAININGS.values():
        spec = tiny.spec(clips, **changed)
        train_run(spec, clips, out / "runs", device="cpu", report=lambda *what: messages.append(what[-1]))
    processes, device = join("cpu")
    spec = tiny.spec(clips, **TRAININGS["resumed, with unequal shares"])
    training = Training(spec, clips, out / "seen", device, processes)
    seen = []
    for epoch in (1, 2):
        training.order.epoch = epoch
        seen.append([batch["index"].tolist() for batch in training.batches])
    answered = predict(training, current_model(training), clips.test_indices(1)[:1])
    saw = {"pid": os.getpid(), "notes": messages, "seen": seen, "answered": answered.logits.tolist()}
    (out / f"rank{processes.rank}.json").write_text(json.dumps(saw))
    (out / "workspace").mkdir(exist_ok=True)
    for command in commands(dataset, out / "workspace"):
        sys.argv = command
        try:
            command_line()
        except SystemExit as end:
            if end.code:
                raise
