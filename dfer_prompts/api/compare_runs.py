"""Compare finished runs, their ensembles and imported checkpoints, also with sets that are trained for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..description_set import DescriptionSet
from ..errors import InputError, Interrupted
from ..provenance import require_unseen
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .datasets import joined
from .evaluate import common_clips, common_own_clips, finished_run
from .inputs import Choices, class_texts, each_once, open_dataset, seen_notes, settings_for, training_notes
from .launchers import RunContext

if TYPE_CHECKING:
    from dfer_model.comparison.record import ComparedModel, ComparisonRecord, ComparisonRequest
    from dfer_model.comparison.results import Answers, Comparison
    from dfer_model.data.packed import PackedClips
    from dfer_model.evaluation.evaluate import TestClips
    from dfer_model.evaluation.run_ensembles import RunEnsemble
    from dfer_model.metrics import Measures
    from dfer_model.runs import Run

    Model = Run | RunEnsemble

AS_THEY_ARE = "Verdicts on runs hold for these models: another training of the same configuration may differ."


def names_run(given: DescriptionSet | Run | Path | str, workspace: Workspace) -> bool:
    """Whether this is a run, its folder, or an id (or its beginning) that is not a description set.

    Runs joined by + are an ensemble of them.
    """
    if isinstance(given, DescriptionSet):
        return False
    if not isinstance(given, str) or (Path(given) / "config.yaml").is_file():
        return True
    if "+" in given:
        return all(names_run(each, workspace) for each in given.split("+"))
    ids = [path.parent.name for path in workspace.runs.glob("*/config.yaml")]
    if given in ids or not any(each.startswith(given) for each in ids):
        return given in ids
    try:
        DescriptionStore(workspace).load(given)
    except InputError:
        return True
    return False


def compare_runs(
    given: Sequence[DescriptionSet | Run | Path | str],
    dataset: PackedClips | Path | str | None,
    folds: Iterable[int] | None,
    seeds: Iterable[int],
    context: RunContext,
    choices: Choices,
) -> ComparisonRecord:
    """Evaluate finished runs, and sets trained for the comparison, on the runs' test fold.

    `given` are runs, their folders or ids, ids joined by + (an ensemble by mean probability), and description
    sets; clips are the same for all, and classes are matched by name. `dataset` is by default that of the
    runs; `seeds` and `choices` apply to the sets. Raises InputError if the runs have no common test clips or
    `folds` or `choices` do not apply, and Interrupted on Ctrl-C.
    """
    from dfer_model.evaluation.run_ensembles import members_of

    place = context.workspace
    models = [_model(each, place) for each in given]
    runs = [each for each in models if not isinstance(each, DescriptionSet)]
    sets = [each for each in models if isinstance(each, DescriptionSet)]
    order = [each.name if isinstance(each, DescriptionSet) else each.id for each in models]
    _check(order, runs, sets, folds, choices)
    clips = _clips(runs, dataset, place)
    if sets and joined(clips):
        raise InputError(
            "these runs were trained on several datasets, and compare trains sets on one\n"
            "Compare runs only, or give one dataset: --dataset DIR"
        )
    members = [each for run in runs for each in members_of(run)]
    tested = common_clips(members, clips)
    require_unseen(sets, clips.name, clips.fingerprint, [runs[0].fold])
    try:
        found = _evaluated(runs, clips, tested, context)
        trained = _trained(sets, runs[0].fold, seeds, clips, context, choices)
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(
            "Stopped; finished runs are stored\nGive the same command again to continue"
        ) from error
    answers = _answers(order, found, trained, clips, tested)
    caveats = [AS_THEY_ARE, *(each for run in members for each in _caveats(run, clips, place))]
    comparison = _compared(answers, found, trained, caveats)
    described = {run.id: _about(run, found[run.id][0]) for run in runs}
    request = _request(order, clips, trained, choices)
    return _stored(place, clips, tested, comparison, described, [each.id for each in trained], request)


def _model(given: DescriptionSet | Run | Path | str, workspace: Workspace) -> DescriptionSet | Model:
    from dfer_model.evaluation.run_ensembles import RunEnsemble

    if isinstance(given, DescriptionSet):
        return given
    if not names_run(given, workspace):
        return DescriptionStore(workspace).load(str(given))
    if isinstance(given, str) and "+" in given and not Path(given).is_dir():
        return RunEnsemble(tuple(finished_run(each, workspace) for each in given.split("+")))
    return finished_run(given, workspace)


def _check(
    names: Sequence[str],
    runs: Sequence[Model],
    sets: Sequence[DescriptionSet],
    folds: Iterable[int] | None,
    choices: Mapping[str, object],
) -> None:
    from dfer_model.evaluation.run_ensembles import members_of

    if len(names) < 2:
        raise InputError("one run alone cannot be compared\nAdd a second one, or a description set")
    if len({*names}) != len(names):
        raise InputError("a run or set is given twice")
    chosen = [key for key, value in choices.items() if value]
    if chosen and not sets:
        raise InputError(
            f"runs are compared without training, so {', '.join(chosen)} has no effect\n"
            "Leave it out, or add a description set to train"
        )
    members = [each for run in runs for each in members_of(run)]
    of = {run.fold for run in members}
    if len(of) > 1 or (folds is not None and {*folds} != of):
        each = ", ".join(f"{run.id} on fold {run.fold}" for run in members)
        raise InputError(
            f"runs are compared on their common test fold: {each}\n"
            "Compare runs of one fold, and leave --folds out"
        )


def _clips(runs: Sequence[Model], dataset: PackedClips | Path | str | None, place: Workspace) -> PackedClips:
    """The clips given, else those that all the runs were trained with."""
    from dfer_model.evaluation.run_ensembles import members_of

    members = [each for run in runs for each in members_of(run)]
    if dataset is None and any(each.config["dataset"].get("parts") for each in members):
        return common_own_clips(members)
    own = {each.config["dataset"]["path"] for each in members}
    if dataset is None and len(own) == 1 and (only := own.pop()) and Path(only).is_dir():
        return open_dataset(place, Path(only))
    return open_dataset(place, dataset)


Evaluated = Mapping[str, tuple["Measures", Any]]  # by run: its measures, and which predictions are correct


def _evaluated(
    runs: Sequence[Model], clips: PackedClips, tested: TestClips, context: RunContext
) -> Evaluated:
    from dfer_model.evaluation.evaluate import evaluate_run
    from dfer_model.evaluation.run_ensembles import combined, members_of

    found = {}
    for run in runs:
        parts = []
        for member in members_of(run):
            with context.progress(member.id) as report:
                parts.append(
                    evaluate_run(member, clips, tested.indices, device=context.device, report=report)
                )
        predictions = combined(run, parts)
        correct = predictions.logits.argmax(axis=1) == predictions.labels
        found[run.id] = members_of(run)[0].measured(predictions), correct
    return found


def _trained(
    sets: Sequence[DescriptionSet],
    fold: int,
    seeds: Iterable[int],
    clips: PackedClips,
    context: RunContext,
    choices: Choices,
) -> list[Run]:
    """The runs of the sets, seed by seed; empty without sets."""
    from dfer_model.comparison.grid import Grid, train_all

    if not sets:
        return []
    texts = tuple(class_texts(each, clips.class_names) for each in sets)
    settings = settings_for(context.workspace, clips.name, choices, device=context.device)
    for each in training_notes(context.workspace, clips, settings, choices.get("preset"), [fold]):
        context.note(each)
    grid = Grid(settings, texts, (fold,), each_once(seeds, "seed"))
    with context.progress("training") as report:
        return train_all(
            list(grid.specs(clips)),
            clips,
            context.workspace.runs,
            report,
            context.device,
            note=context.note,
            trackers=context.trackers,
        )


def _answers(
    order: Sequence[str], found: Evaluated, trained: Sequence[Run], clips: PackedClips, tested: TestClips
) -> Answers:
    """All models' predictions, one row per seed of the sets; those of a run are the same in each row."""
    import numpy as np

    from dfer_model.comparison.results import Answers

    seeds = sorted({run.seed for run in trained})
    by_set: dict[str, dict[int, Any]] = {}
    for run in trained:
        answered = run.predictions(run.selected)
        by_set.setdefault(run.texts.name, {})[run.seed] = answered.logits.argmax(axis=1) == answered.labels
    correct = {
        name: np.stack([by_set[name][seed] for seed in seeds])
        if name in by_set
        else np.tile(found[name][1], (max(len(seeds), 1), 1))
        for name in order
    }
    return Answers(clips.labels[tested.indices], clips.folds[tested.indices], correct)


def _compared(
    answers: Answers, found: Evaluated, trained: Sequence[Run], caveats: Sequence[str]
) -> Comparison:
    from dfer_model.comparison.results import Figure, Measured, compare

    beside: dict[str, dict[str, Figure]] = {}
    if not trained:
        beside = {
            "macro_f1": {name: Figure(measured.macro_f1, None) for name, (measured, _) in found.items()},
            "calibration_error": {
                name: Figure(measured.calibration_error or 0.0, None) for name, (measured, _) in found.items()
            },
        }
        known = {name: measured.top2_accuracy for name, (measured, _) in found.items()}
        if None not in known.values():
            beside["top2_accuracy"] = {name: Figure(value or 0.0, None) for name, value in known.items()}
    measure = Measured("trained", (answers,), trained=bool(trained), beside=beside, caveats=tuple(caveats))
    selection = trained[0].selected if trained else "as given"
    folds, seeds = sorted({int(fold) for fold in answers.folds}), sorted({run.seed for run in trained})
    return compare([measure], [], folds, seeds, selection)


def _caveats(run: Run, clips: PackedClips, place: Workspace) -> list[str]:
    """The caveats of a run's figures on these clips."""
    from dfer_model.evaluation.evaluate import clips_to_test

    messages = [*clips_to_test(run, clips).notes, *seen_notes(run, clips, [run.fold], place)]
    own = clips.fingerprint == run.config["dataset"]["fingerprint"]
    if run.selected not in run.selections:
        messages.append(f"{run.id} was imported: its epoch may have been selected on these clips.")
    elif own and run.selected != "last":
        last = run.measures("last")
        flattered = " on the test fold (optimistically biased)" if run.selected == "test-best" else ""
        messages.append(
            f"{run.id}: the epoch was selected by {run.selected}{flattered}; the last one has a UAR of "
            f"{last.uar:.1f} and a WAR of {last.war:.1f}."
        )
    strange = [name for name in run.class_names if name not in clips.class_names]
    if strange:
        messages.append(f"{run.id} may predict classes that these clips do not have: {', '.join(strange)}.")
    return messages


def _about(model: Model, measured: Measures) -> ComparedModel:
    """The record of a run. That of an ensemble has folder, fold and seed of its first run."""
    from dfer_model.comparison.record import ComparedModel
    from dfer_model.evaluation.run_ensembles import members_of

    members = members_of(model)
    first = members[0]
    return ComparedModel(
        run=model.id,
        folder=str(first.folder),
        descriptions="+".join(dict.fromkeys(each.texts.name for each in members)),
        selection=first.selected if len({each.selected for each in members}) == 1 else "mixed",
        fold=first.fold,
        seed=first.seed,
        **measured.as_dict(),
    )


def _request(
    names: Sequence[str], clips: PackedClips, trained: Sequence[Run], choices: Choices
) -> ComparisonRequest:
    """The options of this comparison, as on the command line."""
    from dfer_model.comparison.record import ComparisonRequest

    given: dict[str, Any] = {key: value for key, value in choices.items() if value}
    return ComparisonRequest(
        sets=tuple(names),
        dataset="" if joined(clips) else str(clips.path),
        seeds=tuple(sorted({run.seed for run in trained})),
        **given | {"overrides": tuple(choices.get("overrides", ()))},
    )


def _stored(
    place: Workspace,
    clips: PackedClips,
    tested: TestClips,
    comparison: Comparison,
    models: Mapping[str, ComparedModel],
    trained: Sequence[str],
    request: ComparisonRequest,
) -> ComparisonRecord:
    from dfer_model.comparison.record import ComparisonRecord

    names = "\n".join([clips.fingerprint, *(each.name for each in comparison.sets), *trained])
    result = ComparisonRecord(
        folder=place.root / "comparisons" / hashlib.sha256(names.encode()).hexdigest()[:12],
        dataset=clips.name,
        clips_judged=tested.which,
        comparison=comparison,
        models=tuple(models.values()),
        runs=(*models, *trained),
        request=request,
    )
    result.write()
    return result
