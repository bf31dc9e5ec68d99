"""The predictions that runs of a comparison store: which are correct, clip by clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dfer_model.comparison.record import ComparedModel
    from dfer_model.runs import Predictions, Run

    from .stored import Stored, Trained

BY_RUNS = ("trained", "few-shot", "held-out-class")  # measures whose test predictions are those of runs
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Hits:
    """The correct predictions (seeds, clips) of a set; a share if several runs of a seed predict a clip."""

    clip_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    correct: NDArray[Any]
    class_names: tuple[str, ...]


def hits_of_run(run: Run, selection: str) -> Hits:
    """The predictions of a run for its test clips."""
    return _hits(run.predictions(selection), run.class_names)


def _hits(of: Predictions, class_names: Sequence[str]) -> Hits:
    correct = of.logits.argmax(axis=1) == of.labels
    return Hits(tuple(of.clip_ids), of.labels, correct[None], tuple(class_names))


def hits_of_sets(of: Stored, measure: str) -> dict[str, Hits]:
    """The predictions of each set under a measure; empty if no run stores them or a run is missing.

    For a run with a held-out class, only the clips of that class count. Raises InputError for damaged runs.
    """
    mine = [each for each in of.trained if each.measure == measure] if measure in BY_RUNS else []
    if not all((of.runs / each.run / PREDICTIONS).is_file() for each in mine):
        return {}
    by_seed: dict[str, dict[int, list[Hits]]] = {}
    for each in mine:
        by_seed.setdefault(each.name, {}).setdefault(each.seed, []).append(_of_training(of, each))
    found = {
        name: _stacked([_joined(seeds[seed]) for seed in sorted(seeds)]) for name, seeds in by_seed.items()
    }
    if len({(each.clip_ids, tuple(each.labels.tolist())) for each in found.values()}) > 1:
        raise InputError(f"the runs of {of.record.folder} are tested on different clips")
    return found


def _of_training(of: Stored, training: Trained) -> Hits:
    from dfer_model.runs import Run

    run = Run.open(of.runs / training.run)
    chosen = of.comparison.selection
    found = hits_of_run(run, chosen if chosen in run.selections else run.selections[0])
    if training.measure != "held-out-class":
        return found
    places = np.flatnonzero(found.labels == training.variant)
    ids = tuple(found.clip_ids[place] for place in places)
    return Hits(ids, found.labels[places], found.correct[:, places], found.class_names)


def _joined(parts: Sequence[Hits]) -> Hits:
    """The predictions of several runs of one seed, sorted by clip id; the mean for a clip with several."""
    ids, first, place = np.unique(
        np.concatenate([each.clip_ids for each in parts]), return_index=True, return_inverse=True
    )
    correct = np.concatenate([each.correct[0] for each in parts]).astype(np.float64)
    share = np.bincount(place, weights=correct) / np.bincount(place)
    labels = np.concatenate([each.labels for each in parts])[first]
    return Hits(tuple(ids.tolist()), labels, share[None], parts[0].class_names)


def _stacked(seeds: Sequence[Hits]) -> Hits:
    """The predictions of all seeds. Raises InputError if their clips differ."""
    first = seeds[0]
    if any(each.clip_ids != first.clip_ids for each in seeds):
        raise InputError("the seeds of a set are tested on different clips")
    return Hits(
        first.clip_ids, first.labels, np.concatenate([each.correct for each in seeds]), first.class_names
    )


def model_predictions(model: ComparedModel) -> Predictions | None:
    """The stored predictions of a compared run or ensemble; None if those of the comparison differ.

    They differ if the runs were compared on other clips than their own test clips. Classes are in the order
    of `model.recalls`.
    """
    from dfer_model.evaluation.run_ensembles import RunEnsemble
    from dfer_model.runs import Run

    first = Path(model.folder)
    folders = [first, *(first.parent / name for name in model.run.split("+")[1:])]
    if not all((folder / PREDICTIONS).is_file() for folder in folders):
        return None
    runs = tuple(Run.open(folder) for folder in folders)
    parts = [run.predictions(run.selected) for run in runs]
    found = RunEnsemble(runs).averaged(parts) if len(runs) > 1 else parts[0]
    counts = np.zeros((len(model.recalls),) * 2, dtype=np.int64)
    np.add.at(counts, (found.labels, found.logits.argmax(axis=1)), 1)
    return found if counts.tolist() == [list(row) for row in model.confusion] else None


def hits_of_models(of: Stored) -> dict[str, Hits]:
    """The predictions of the compared runs that are stored, by run."""
    found = {each.run: (each, model_predictions(each)) for each in of.record.models}
    return {name: _hits(stored, tuple(model.recalls)) for name, (model, stored) in found.items() if stored}
