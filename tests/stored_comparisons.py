"""Comparisons of any size as `compare` stores them, with answers made up: nothing is trained for them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dfer_model.comparison.record import ComparisonRecord, ControlOrigin
from dfer_model.comparison.results import Answers, Measured, compare
from dfer_model.config import preset
from dfer_model.metrics import measures
from dfer_model.runs import ClassTexts
from dfer_prompts import load

FACES = load("v1").class_names


def store(
    workspace: Path,
    names: Sequence[str],
    controls: Sequence[str] = (),
    *,
    folds: Sequence[int] = (1, 2),
    seeds: Sequence[int] = (1, 2),
    class_names: Sequence[str] = FACES,
    texts: dict[str, list[list[str]]] | None = None,
    clips: int = 3,
    epochs: int = 5,
    name: str = "0123456789ab",
    right: float = 0.6,
) -> Path:
    """The folder of a comparison by zero-shot and supervised training, its runs in `workspace`/runs.

    `clips` of each class are in each fold, and about the share `right` of them is answered rightly.
    """
    rng = np.random.default_rng(0)
    labels = np.tile(np.repeat(np.arange(len(class_names)), clips), len(folds))
    judged = np.repeat(folds, clips * len(class_names))
    every = [*names, *controls]

    def answers_of(of_seeds: int) -> dict[str, Any]:
        wrong = {each: rng.integers(len(class_names), size=(of_seeds, len(labels))) for each in every}
        return {each: np.where(rng.random(it.shape) < right, labels, it) for each, it in wrong.items()}

    def answers(predicted: dict[str, Any]) -> Answers:
        return Answers(labels, judged, {each: it == labels for each, it in predicted.items()}, predicted)

    untrained, trained = answers(answers_of(1)), answers(answers_of(len(seeds)))
    found = [Measured("zero-shot", (untrained,), trained=False), Measured("trained", (trained,))]
    comparison = compare(found, controls, folds, seeds, "last")
    settings = preset("default", "faces").model_copy(update={"epochs": epochs})
    runs = []
    for fold, (place, seed), each in itertools.product(folds, enumerate(seeds), every):
        mine = judged == fold
        result = measures(labels[mine], trained.predicted[each][place][mine], class_names).as_dict()
        runs.append(_run(workspace / "runs" / f"{len(runs)}-fold{fold}-seed{seed}", result, epochs, rng))
    folder = workspace / "comparisons" / name
    folder.mkdir(parents=True)
    of = texts or {each: _texts(place, len(class_names)) for place, each in enumerate(every)}
    record = ComparisonRecord(
        folder=folder,
        dataset="faces",
        comparison=comparison,
        settings=settings,
        texts=tuple(ClassTexts(each, "ab" * 32, tuple(class_names), _tuples(of[each])) for each in every),
        controls={each: ControlOrigin(made_of=(names[-1],), seed=1) for each in controls},
        runs=tuple(runs),
        clips=("packed/faces",),
    )
    matrices = {each: untrained.confusion(each, len(class_names)).tolist() for each in every}
    confusions = {"zero-shot": {"class_names": list(class_names), "sets": matrices}}
    record.write()
    (folder / "confusions.json").write_text(json.dumps(confusions, ensure_ascii=False), encoding="utf-8")
    return folder


def _tuples(texts: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, texts))


def _texts(place: int, classes: int) -> list[list[str]]:
    """Six descriptors for each class, some of them the same for all sets."""
    return [
        [
            f"a mouth of kind {label}, cheeks raised by {place}, eyes {place + label} wide, "
            f"brows of {label}, a nose wrinkled {label} times, and lips pressed by {place}."
        ]
        for label in range(classes)
    ]


def _run(folder: Path, measured: dict[str, Any], epochs: int, rng: np.random.Generator) -> str:
    folder.mkdir(parents=True)
    rows = [{"epoch": each, "loss": 3 / each + float(rng.random()) / 9} for each in range(1, epochs + 1)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({"selected": "last", "measures": {"last": measured}}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"dataset": {"path": "packed/faces"}}))
    return folder.name
