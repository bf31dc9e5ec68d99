"""The predictions and figures of each protocol (protocols.py has the table)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfer_model.comparison.results import Answers, Figure, Measured, figure, trained_answers
from dfer_model.comparison.statistics import uar_weights
from dfer_model.data.packed import PackedClips
from dfer_model.devices import choose_device
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import predict_logits
from dfer_model.evaluation.trained_model import retexted
from dfer_model.progress import Report
from dfer_model.runs import ClassTexts, Predictions, Run, read_predictions, write_predictions

from .grid import Grid, Training

ZERO = "0"  # shots
ANY_TEXTS = (
    "Trained on all clips a model learns any distinct texts, right or swapped; compare texts by zero-shot "
    "and, with --measure, by few-shot, held-out-class and transfer."
)

Integers = npt.NDArray[np.int64]


def zero_shot(answers: Answers) -> Measured:
    """The measure of the predictions of CLIP without training."""
    caveat = (
        "zero-shot is this CLIP without training: it shows how well the texts match what the CLIP learned in "
        "pretraining, and does not depend on --seeds."
    )
    return Measured("zero-shot", (answers,), trained=False, caveats=(caveat,))


def supervised(training: Training, runs: Sequence[Run]) -> Measured:
    """The measure of runs on all clips of the training folds."""
    texts, selection = training.grid.texts, training.grid.settings.select
    return Measured(
        "trained",
        (trained_answers(runs, texts, selection),),
        beside=_last_epoch(lambda each: trained_answers(runs, texts, each), selection),
        caveats=(ANY_TEXTS,),
    )


def few_shot(
    training: Training, runs: Sequence[Run], clips: PackedClips, untrained: Answers | None
) -> Measured:
    """The measure of runs on a few clips per class; `untrained` predictions are the curve's point at 0 shots.

    Figures and verdicts are those of the mean over the trained numbers of shots.
    """
    grid, selection = training.grid, training.grid.settings.select
    by_shots = training.by_variant(runs)

    def parts(selected: str) -> dict[str, Answers]:
        return {shots: trained_answers(each, grid.texts, selected) for shots, each in by_shots.items()}

    trained = parts(selection)
    points = ({ZERO: untrained} if untrained is not None else {}) | trained
    curves = {
        f"curve_{what}": {
            text.name: {
                shots: answers.figure(text.name, getattr(answers, what)) for shots, answers in points.items()
            }
            for text in grid.texts
        }
        for what in ("uar", "war")
    }
    over = ", ".join(trained)
    caveats = [
        f"few-shot is the mean over {over} clips per class, drawn by seed and fold: the same for every set, "
        "and smaller draws are part of larger ones.",
        f"Its trainings have {grid.settings.epochs} epochs for every number of shots, so fewer clips also "
        "mean fewer steps.",
    ]
    if untrained is not None:
        caveats.append("Its point at 0 shots is zero-shot; it is on the curve but not in the mean.")
        if grid.settings.temporal_depth:
            caveats.append(
                "With few shots it may be below zero-shot, because the temporal model starts from random "
                "weights (--set temporal_depth=0 removes it)."
            )
    if short := _short_classes(grid, clips, max(map(int, trained))):
        caveats.append(short)
    return Measured(
        "few-shot",
        tuple(trained.values()),
        beside=_last_epoch(lambda each: _mean(parts(each)), selection),
        curves=curves,
        caveats=tuple(caveats),
    )


def held_out_class(training: Training, runs: Sequence[Run], class_names: Sequence[str]) -> Measured:
    """The measure of runs trained without one class; each clip is tested by the run without its class.

    The UAR is the mean recall of the held-out classes. `seen_uar` is the UAR of the other classes in the same
    runs, and `harmonic_mean` that of the two (Xian et al., arXiv 1707.00600): it is low for a model that
    predicts the held-out class for every clip.
    """
    grid, selection = training.grid, training.grid.settings.select
    by_class = training.by_variant(runs)
    answers = _held_out_answers(by_class, grid, class_names, selection)
    seen = {text.name: _seen_uar(by_class, text.name, grid, class_names, selection) for text in grid.texts}
    unseen = {text.name: answers.correct[text.name] @ answers.uar for text in grid.texts}
    harmonic = {
        name: 2 * unseen[name] * seen[name] / np.maximum(unseen[name] + seen[name], 1e-9) for name in seen
    }
    contexts = (
        "all classes share one context (context_kind=unified)" if grid.settings.contexts else "no contexts"
    )
    return Measured(
        "held-out-class",
        (answers,),
        beside={
            "seen_uar": {name: figure(each) for name, each in seen.items()},
            "harmonic_mean": {name: figure(each) for name, each in harmonic.items()},
            **_last_epoch(lambda each: _held_out_answers(by_class, grid, class_names, each), selection),
        },
        curves={"recalls": _recalls(answers, grid.texts, class_names)},
        caveats=(
            f"held-out-class is the recall of a class not trained on, among all classes; {contexts}. A "
            "trained model prefers its training classes: these recalls are low; read them beside seen UAR.",
        ),
    )


def transfer(
    training: Training,
    runs: Sequence[Run],
    target: PackedClips,
    texts: Sequence[ClassTexts],
    new: Sequence[str],
    cache_dir: Path,
    report: Report,
    device: str = "auto",
) -> Measured:
    """The measure of runs on one dataset tested on the clips of another, by `texts` for its classes.

    Each run predicts every clip once; runs on several folds count like seeds. `new` are the classes that the
    first dataset does not have. `cache_dir` holds predictions for reuse; it can be deleted at any time.
    """
    indices = clips_for_transfer(target)
    by_name: dict[str, list[Integers]] = {each.name: [] for each in texts}
    named = {each.name: each for each in texts}
    for done, run in enumerate(runs):
        report(done, len(runs), f"{run.texts.name}, fold {run.fold}, seed {run.seed}, on {target.name}")
        predictions = _retexted_predictions(run, named[run.texts.name], target, indices, cache_dir, device)
        by_name[run.texts.name].append(predictions.logits.argmax(axis=1))
    report(len(runs), len(runs), f"on {target.name}")
    labels, predicted = target.labels[indices], {name: np.stack(each) for name, each in by_name.items()}
    correct = {name: each == labels for name, each in predicted.items()}
    answers = Answers(labels, target.folds[indices], correct, predicted)
    caveats = [
        f"transfer is trained on one dataset and tested on {len(indices)} clips of {target.name} with the "
        "texts of the same set; images and classes both differ.",
        "A class of both datasets was learned in training, with any text; only the new classes show the "
        "effect of the texts alone.",
    ]
    if len(training.grid.folds) > 1:
        caveats.append(
            "Trainings on several folds count like seeds in transfer although they share most training "
            "clips: its intervals may be too narrow."
        )
    return Measured(
        "transfer",
        (answers,),
        beside={"new_uar": _uar_of(answers, [target.class_names.index(name) for name in new])} if new else {},
        curves={"recalls": _recalls(answers, texts, target.class_names)},
        caveats=tuple(caveats),
    )


def clips_for_transfer(target: PackedClips) -> Integers:
    """The test clips of another dataset: those of its folds, or all clips if it has no folds."""
    return np.flatnonzero(target.folds > 0) if target.fold_names() else np.arange(len(target))


def _last_epoch(answers: Callable[[str], Answers], selection: str) -> dict[str, dict[str, Figure]]:
    """The UAR of the last epoch by set, if another epoch was selected."""
    if selection == "last":
        return {}
    last = answers("last")
    return {"last_uar": {name: last.figure(name, last.uar) for name in last.correct}}


def _mean(parts: Mapping[str, Answers]) -> Answers:
    return Measured("", tuple(parts.values())).mean


def _short_classes(grid: Grid, clips: PackedClips, shots: int) -> str | None:
    """A sentence that names the classes with fewer than `shots` training clips in some fold."""
    fewest: dict[str, int] = {}
    for fold in grid.folds:
        counts = np.bincount(clips.labels[clips.train_indices(fold)], minlength=len(clips.class_names))
        for name, count in zip(clips.class_names, counts, strict=True):
            if count < shots:
                fewest[name] = min(int(count), fewest.get(name, shots))
    if not fewest:
        return None
    listed = ", ".join(f"{name} {count}" for name, count in fewest.items())
    return (
        f"A class with fewer than {shots} training clips in a fold uses all of them: {listed} at the fewest."
    )


def _held_out_answers(
    by_class: Mapping[str, Sequence[Run]], grid: Grid, class_names: Sequence[str], selection: str
) -> Answers:
    """The prediction for each test clip by the run that was trained without its class."""
    parts = [
        _only(trained_answers(runs, grid.texts, selection), class_names.index(name))
        for name, runs in by_class.items()
    ]
    return Answers(
        np.concatenate([each.labels for each in parts]),
        np.concatenate([each.folds for each in parts]),
        {
            text.name: np.concatenate([each.correct[text.name] for each in parts], axis=1)
            for text in grid.texts
        },
    )


def _only(answers: Answers, label: int) -> Answers:
    """The predictions for the clips of one class."""
    mine = answers.labels == label
    correct = {name: each[:, mine] for name, each in answers.correct.items()}
    return Answers(answers.labels[mine], answers.folds[mine], correct)


def _seen_uar(
    by_class: Mapping[str, Sequence[Run]],
    name: str,
    grid: Grid,
    class_names: Sequence[str],
    selection: str,
) -> npt.NDArray[np.float64]:
    """The UAR (seeds,) of the classes that were trained on, averaged over the held-out classes."""
    uars = []
    text = [each for each in grid.texts if each.name == name]
    for held_out, runs in by_class.items():
        answers = trained_answers([run for run in runs if run.texts.name == name], text, selection)
        others = answers.labels != class_names.index(held_out)
        weights = uar_weights(answers.labels[others], answers.folds[others])
        uars.append(answers.correct[name][:, others] @ weights)
    mean: npt.NDArray[np.float64] = np.mean(uars, axis=0)
    return mean


def _recalls(
    answers: Answers, texts: Sequence[ClassTexts], class_names: Sequence[str]
) -> dict[str, dict[str, Figure]]:
    """The recall of each class that has clips, in percent over all folds, by set and class."""
    present = [label for label in range(len(class_names)) if (answers.labels == label).any()]
    return {
        text.name: {
            class_names[label]: figure(
                100 * answers.correct[text.name][:, answers.labels == label].mean(axis=1)
            )
            for label in present
        }
        for text in texts
    }


def _uar_of(answers: Answers, labels: Sequence[int]) -> dict[str, Figure]:
    """The UAR over some of the classes, by set."""
    mine = np.isin(answers.labels, labels)
    weights = uar_weights(answers.labels[mine], answers.folds[mine])
    return {name: figure(each[:, mine] @ weights) for name, each in answers.correct.items()}


def _retexted_predictions(
    run: Run, texts: ClassTexts, target: PackedClips, indices: Integers, cache_dir: Path, device: str
) -> Predictions:
    """A run's predictions for the target's clips by `texts`, from `cache_dir` if they are stored there."""
    shaping = [run.config["definition"], run.selected, texts.class_names, texts.texts, target.fingerprint]
    path = cache_dir / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.parquet"
    with suppress(InputError):  # missing or damaged: computed again
        return read_predictions(path, run.selected)
    where = choose_device(device, tf32=run.settings.tf32)
    logits = predict_logits(retexted(run, texts, where), target, indices, run.settings, where)
    predictions = Predictions([target.clip_ids[index] for index in indices], target.labels[indices], logits)
    write_predictions(path, texts.class_names, {run.selected: predictions})
    return predictions
