"""Finished runs with given predictions: nothing is trained for them, and their folders hold no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from dfer_model.config import Settings
from dfer_model.metrics import logit_measures
from dfer_model.runs import Predictions, write_predictions

NAMES = ("happiness", "sadness", "fear")
Ranked = Mapping[str, tuple[str, str, str]]  # by clip id: the true class, the first and the second choice


def store_run(
    folder: Path, clips: Ranked, *, fold: int = 1, seed: int = 1, names: Sequence[str] = NAMES
) -> Path:
    """The folder of a run whose largest logits are those of the two choices of each clip."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.array([names.index(true) for true, *_ in clips.values()])
    logits = np.zeros((len(clips), len(names)), dtype=np.float32)
    for row, (_, first, second) in zip(logits, clips.values(), strict=True):
        row[names.index(second)], row[names.index(first)] = 1, 2
    config = {
        "dataset": {"fingerprint": "f", "name": "ferv39k", "path": "packed/ferv39k"},
        "fold": fold,
        "seed": seed,
        "settings": Settings().model_dump(mode="json"),
    }
    texts = {"name": "v1@2", "sha256": "ab" * 32, "texts": {name: [f"a {name} face."] for name in names}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "classes.json").write_text(json.dumps(names))
    (folder / "texts.json").write_text(json.dumps(texts))
    write_predictions(
        folder / "predictions.parquet", names, {"last": Predictions(list(clips), labels, logits)}
    )
    measured = logit_measures(labels, logits, names).as_dict()
    result = {"selected": "last", "epochs": {"last": 1}, "measures": {"last": measured}}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def without_top2(folder: Path) -> None:
    """Leave the top-2 accuracy out of a run's result, as earlier versions did."""
    result = json.loads((folder / "result.json").read_text())
    del result["measures"]["last"]["top2_accuracy"]
    (folder / "result.json").write_text(json.dumps(result))
