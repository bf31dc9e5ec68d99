"""The answers that each measure of what a text is worth is made of (trainings.py has the measures)."""

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
from dfer_model.evaluation.retarget import retexted
from dfer_model.runs import ClassTexts, Predictions, Run, read_predictions, write_predictions

from .grid import Grid
from .protocols import Training

ZERO = "0"  # shots
ANY_TEXTS = (
    "trained on all clips a model learns any distinct texts, right or swapped: what tells texts apart is "
    "zero-shot and, with --measure, few-shot, held-out-class and transfer."
)

Report = Callable[[int, int, str], None]
Integers = npt.NDArray[np.int64]


def zero_shot(answers: Answers) -> Measured:
    """Of the answers of CLIP as it is."""
    caveat = (
        "zero-shot is this CLIP, untrained: it says whether the words name what the CLIP has already seen, "
        "and no --seeds would change it."
    )
    return Measured("zero-shot", (answers,), trained=False, caveats=(caveat,))


def supervised(training: Training, runs: Sequence[Run]) -> Measured:
    """Of runs on all clips of the training folds."""
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
    """Of runs on a few clips of each class; `untrained` answers are the curve's beginning, without a shot.

    Figures and verdicts are of the mean over the trained numbers of shots.
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
        f"few-shot is the mean over {over} clips of each class, drawn by seed and fold, the same for every "
        "set and the fewer among the more.",
        f"Its trainings have {grid.settings.epochs} epochs whatever the number of shots: fewer clips are "
        "fewer steps too.",
    ]
    if untrained is not None:
        caveats.append("Without a shot it is zero-shot; that point is on the curve and not in the mean.")
        if grid.settings.temporal_depth:
            caveats.append(
                "The first shots may take away from zero-shot: the temporal model begins at random "
                "(--set temporal_depth=0 leaves it off)."
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
    """Of runs that never saw the class they are asked for; every clip is judged by the one without its class.

    The UAR is the mean of these recalls. `seen_uar` is that of the other classes, in the same runs, and
    `harmonic_mean` joins the two (Xian et al., arXiv 1707.00600): a model that answers the class it never
    saw for everything has the first and not the second.
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
        "the contexts of all classes are one (context_kind=unified)"
        if grid.settings.contexts
        else "no contexts"
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
            f"held-out-class is the recall of a class never trained on, among all classes; {contexts}. A "
            "trained model prefers the classes it knows: these recalls are low; read them beside seen UAR.",
        ),
    )


def transfer(
    training: Training,
    runs: Sequence[Run],
    target: PackedClips,
    texts: Sequence[ClassTexts],
    new: Sequence[str],
    kept: Path,
    report: Report,
    device: str = "auto",
) -> Measured:
    """Of runs on one dataset that answer for the clips of another, by `texts` for that one's classes.

    Every clip is judged once by each run: runs on several folds count like seeds. `new` are the classes that
    the first dataset does not have. `kept` is a folder of answers; it can be deleted at any time.
    """
    indices = judgeable(target)
    by_name: dict[str, list[Integers]] = {each.name: [] for each in texts}
    named = {each.name: each for each in texts}
    for done, run in enumerate(runs):
        report(done, len(runs), f"{run.texts.name}, fold {run.fold}, seed {run.seed}, on {target.name}")
        answered = _retexted_predictions(run, named[run.texts.name], target, indices, kept, device)
        by_name[run.texts.name].append(answered.logits.argmax(axis=1))
    report(len(runs), len(runs), f"on {target.name}")
    labels, said = target.labels[indices], {name: np.stack(each) for name, each in by_name.items()}
    correct = {name: each == labels for name, each in said.items()}
    answers = Answers(labels, target.folds[indices], correct, said)
    caveats = [
        f"transfer is trained on one dataset and judged on {len(indices)} clips of {target.name}, by the "
        "same set's texts; the pictures differ as well as the classes.",
        "A class that both have is known from training by whatever text it had there, right or not; what a "
        "text says alone shows in the classes that are new.",
    ]
    if len(training.grid.folds) > 1:
        caveats.append(
            "Trainings on several folds count like seeds here, though they share most of their clips: the "
            "transfer intervals may be too narrow."
        )
    return Measured(
        "transfer",
        (answers,),
        beside={"new_uar": _uar_of(answers, [target.class_names.index(name) for name in new])} if new else {},
        curves={"recalls": _recalls(answers, texts, target.class_names)},
        caveats=tuple(caveats),
    )


def judgeable(target: PackedClips) -> Integers:
    """The clips of another dataset that may judge: those of its folds, or all where it has none."""
    return np.flatnonzero(target.folds > 0) if target.fold_names() else np.arange(len(target))


def _last_epoch(answers: Callable[[str], Answers], selection: str) -> dict[str, dict[str, Figure]]:
    """The UAR of the last epoch by set, where another epoch was chosen."""
    if selection == "last":
        return {}
    last = answers("last")
    return {"last_uar": {name: last.figure(name, last.uar) for name in last.correct}}


def _mean(parts: Mapping[str, Answers]) -> Answers:
    return Measured("", tuple(parts.values())).mean


def _short_classes(grid: Grid, clips: PackedClips, shots: int) -> str | None:
    """A sentence on the classes that have fewer training clips than `shots` in some fold."""
    fewest: dict[str, int] = {}
    for fold in grid.folds:
        counts = np.bincount(clips.labels[clips.train_indices(fold)], minlength=len(clips.class_names))
        for name, count in zip(clips.class_names, counts, strict=True):
            if count < shots:
                fewest[name] = min(int(count), fewest.get(name, shots))
    if not fewest:
        return None
    listed = ", ".join(f"{name} {count}" for name, count in fewest.items())
    return f"A class with fewer clips than {shots} gives all it has in a fold; the fewest are: {listed}."


def _held_out_answers(
    by_class: Mapping[str, Sequence[Run]], grid: Grid, class_names: Sequence[str], selection: str
) -> Answers:
    """Every test clip as judged by the run that its class was held out of."""
    judged = [
        _only(trained_answers(runs, grid.texts, selection), class_names.index(name))
        for name, runs in by_class.items()
    ]
    return Answers(
        np.concatenate([each.labels for each in judged]),
        np.concatenate([each.folds for each in judged]),
        {
            text.name: np.concatenate([each.correct[text.name] for each in judged], axis=1)
            for text in grid.texts
        },
    )


def _only(answers: Answers, label: int) -> Answers:
    """The answers to the clips of one class."""
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
    """The UAR (seeds,) of the classes that were trained on, averaged over what was held out."""
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
    """The UAR of some classes alone, by set."""
    mine = np.isin(answers.labels, labels)
    weights = uar_weights(answers.labels[mine], answers.folds[mine])
    return {name: figure(each[:, mine] @ weights) for name, each in answers.correct.items()}


def _retexted_predictions(
    run: Run, texts: ClassTexts, target: PackedClips, indices: Integers, kept: Path, device: str
) -> Predictions:
    """What a run answers for the target's clips by `texts`, from `kept` where it was asked before."""
    shaping = [run.config["definition"], run.selected, texts.class_names, texts.texts, target.fingerprint]
    path = kept / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.parquet"
    with suppress(InputError):  # missing or damaged: asked again
        return read_predictions(path, run.selected)
    where = choose_device(device)
    logits = predict_logits(retexted(run, texts, where), target, indices, run.settings, where)
    said = Predictions([target.clip_ids[index] for index in indices], target.labels[indices], logits)
    write_predictions(path, texts.class_names, {run.selected: said})
    return said
