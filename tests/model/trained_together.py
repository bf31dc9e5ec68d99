"""What torchrun starts for a test: trainings that its processes share, then the same by the command line.

    torchrun --nproc_per_node 2 tests/model/trained_together.py DATASET FOLDER

trains all of TRAININGS under FOLDER/runs and writes what each process saw to rank0.json and rank1.json there.
Then it gives the commands of `commands` one after the other, of which the last is to be interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.model import tiny

TRAININGS: dict[str, dict[str, Any]] = {
    # Shares of 1 and 2 clips, of which the mean is not the mean of their means.
    "unequal shares": {"batch_size": 3, "label_smoothing": 0.1, "epochs": 2, "lr_image": 1e-3},
    "the whole recipe": {
        "batch_size": 3, "epochs": 3, "optimizer": "adamw", "schedule": "cosine", "lr_temporal": 1e-3,
        "mixup": 0.4, "cutmix": 1.0, "ema": 0.9, "select": "test-best", "learned_temperature": True,
        "sampling": "class-balanced",
    },
    "in parts": {
        "batch_size": 8, "epochs": 2, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "lr_image": 1e-3,
        "accumulate": 3,
    },
    "prompts of each clip": {"classifier": "cocoop", "context_kind": "unified", "batch_size": 4, "epochs": 1},
    "gone on with": {"batch_size": 4, "epochs": 4, "seed": 2},
}  # fmt: skip
CHOICES = (
    "--descriptions v1@1 --device cpu --set frames=4 --set contexts=2 --set batch_size=4 --set workers=0"
)


def commands(dataset: str, folder: Path) -> list[list[str]]:
    """A training to its end, and one of so many epochs that it does not come there."""
    base = ["dfer-prompts", "--workspace", str(folder), "train", "--dataset", dataset, *CHOICES.split()]
    base += ["--set", f"clip={tiny.register()}", "--set", "weights=random"]
    return [[*base, "--epochs", "2"], [*base, "--epochs", "100000"]]


def main() -> None:
    """Do it all, as the one or the other process."""
    from dfer_model.data.packed import PackedClips
    from dfer_model.distributed import join
    from dfer_model.training.loop import train_run
    from dfer_model.training.selection import current_model, predict
    from dfer_model.training.setup import Training
    from dfer_prompts.cli import main as command_line

    dataset, out = sys.argv[1], Path(sys.argv[2])
    clips = PackedClips.open(dataset)
    told: list[str] = []
    for changed in TRAININGS.values():
        spec = tiny.spec(clips, **changed)
        train_run(spec, clips, out / "runs", device="cpu", report=lambda *what: told.append(what[-1]))
    processes, device = join("cpu")
    spec = tiny.spec(clips, **TRAININGS["unequal shares"])
    training = Training(spec, clips, out / "seen", device, processes)
    seen = []
    for epoch in (1, 2):
        training.order.epoch = epoch
        seen.append([batch["index"].tolist() for batch in training.batches])
    answered = predict(training, current_model(training), clips.test_indices(1)[:1])
    saw = {"pid": os.getpid(), "told": told, "seen": seen, "answered": answered.logits.tolist()}
    (out / f"rank{processes.rank}.json").write_text(json.dumps(saw))
    (out / "workspace").mkdir(exist_ok=True)
    for command in commands(dataset, out / "workspace"):
        sys.argv = command
        try:
            command_line()
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main()
