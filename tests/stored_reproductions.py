"""A reproduction as `reproduce` stores it, with predictions made up: nothing is trained for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfer_model.metrics import measures
from dfer_model.runs import Predictions, Run, write_predictions
from dfer_model.training.run_writer import write_json
from dfer_prompts.api.reproduce.paper_tables import find_rows, paper, published_figures
from dfer_prompts.api.reproduce.plan import Planned
from dfer_prompts.api.reproduce.results import Reproduced, row_result

CLASSES = ("glad", "sad & 50%")
DESCRIPTORS = "learnable + descriptors, with temporal model"
OURS = "a photo of {class}, with temporal model"  # the paper does not have this row
NOT_RUN = "learnable + class, with temporal model"
COUNTS = {  # by row, fold and seed: rows are the true classes
    (DESCRIPTORS, 1, 1): [[45, 15], [6, 54]],
    (DESCRIPTORS, 2, 1): [[40, 20], [30, 30]],
    (DESCRIPTORS, 1, 2): [[48, 12], [12, 48]],
    (DESCRIPTORS, 2, 2): [[36, 24], [24, 36]],
    (OURS, 1, 1): [[30, 30], [30, 30]],
    (OURS, 2, 1): [[60, 0], [30, 30]],
}


def run_folder(folder: Path, fold: int, seed: int, counts: list[list[int]]) -> Run:
    """A finished run with these predictions in its last epoch."""
    folder.mkdir(parents=True)
    texts = {"name": "v1", "sha256": "00", "texts": {name: [name] for name in CLASSES}}
    (folder / "config.yaml").write_text(f"dataset: {{fingerprint: f}}\nfold: {fold}\nseed: {seed}\n")
    write_json(folder / "classes.json", list(CLASSES))
    write_json(folder / "texts.json", texts)
    labels = np.repeat([0, 0, 1, 1], np.ravel(counts))
    answers = np.repeat([0, 1, 0, 1], np.ravel(counts))
    part = Predictions([f"clip{n}" for n in range(len(labels))], labels, np.eye(2, dtype=np.float32)[answers])
    write_predictions(folder / "predictions.parquet", CLASSES, {"last": part})
    found = measures(labels, answers, CLASSES).as_dict()
    write_json(folder / "result.json", {"selected": "last", "measures": {"last": found}})
    return Run.open(folder)


def store_reproduction(workspace: Path, folder: Path | None = None) -> Path:
    """A reproduction of three rows of Table 3 on two folds: two rows were run, one was not."""
    runs: dict[str, list[Run]] = {}
    for place, ((name, fold, seed), counts) in enumerate(COUNTS.items()):
        made = run_folder(workspace / "runs" / f"run{place}", fold, seed, counts)
        runs.setdefault(name, []).append(made)
    rows = []
    for name in (OURS, NOT_RUN, DESCRIPTORS):
        ((number, row),) = find_rows(["table3"], [name])["table3"]
        planned = Planned("table3", number, row, "" if name in runs else "skipped: for the test")
        theirs = published_figures([])["table3"].get(name, {}).get("mafw")
        rows.append(row_result(planned, runs.get(name, []), theirs))
    made = Reproduced(
        folder=folder or workspace / "reproductions" / "abc123def456",
        dataset="mafw",
        class_names=CLASSES,
        folds=(1, 2),
        seeds=(1, 2),
        titles={"table3": paper().tables["table3"].title},
        assumed={"table3": paper().tables["table3"].assumed},
        rows=tuple(rows),
        protocol="mean over folds 1, 2",
        caveats=("2 of the 5 folds of the paper.",),
    )
    made.folder.mkdir(parents=True)
    write_json(made.folder / "reproduction.json", made.as_dict())
    return made.folder
