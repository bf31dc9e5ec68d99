"""Compare description sets on the same clips, folds and seeds, with statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dfer_model.io import write_atomically
from dfer_model.progress import Progress, silence

from ..description_set import DescriptionSet
from ..errors import InputError, Interrupted, system_errors
from ..generation.controls import control_set
from ..provenance import require_unseen
from ..workspace import Workspace
from .compare_runs import compare_runs, names_run
from .inputs import (
    Choices,
    class_texts,
    cluster_notes,
    each_once,
    folds_to_test,
    loaded,
    open_dataset,
    settings_for,
    training_notes,
)
from .launchers import EngineName, RunContext, engine_for
from .protocols import MeasureRequest, measure_request, measured, planned
from .screen import choose, require_choice, require_screening, screened

if TYPE_CHECKING:
    from dfer_model.comparison.grid import Grid
    from dfer_model.comparison.record import ComparisonRecord, ComparisonRequest, Screening
    from dfer_model.comparison.results import Answers, Measured
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import Run

USUAL_CONTROLS = ("class-name", "swapped", "scrambled")
SCREENING = MeasureRequest(("zero-shot", "screened"), (), None)


@system_errors()
def compare(
    *sets: DescriptionSet | Run | Path | str,
    dataset: PackedClips | Path | str | None = None,
    measure: str | Iterable[str] = "supervised",
    shots: Iterable[int] | None = None,
    transfer_to: PackedClips | Path | str | None = None,
    controls: bool = False,
    control: Sequence[str] = (),
    screen: bool = False,
    then: int | None = None,
    folds: Iterable[int] | None = None,
    seeds: Iterable[int] = (1, 2, 3),
    workspace: Workspace | None = None,
    device: str = "auto",
    engine: EngineName | None = None,
    jobs: int | None = None,
    runs_per_gpu: int | None = None,
    retries: int | None = None,
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
    track: Sequence[str] | None = ("none",),
    **choices: Unpack[Choices],
) -> ComparisonRecord:
    """Evaluate each set on each fold with each seed, and report which differences are significant.

    `measure` is one or more of "zero-shot" (nothing is trained), "supervised" (all clips; also zero-shot),
    "few-shot" (`shots` clips of each class, by default 0, 1, 2, 4, 8, 16), "held-out-class" (each class in
    turn is left out of training) and "transfer" (tested on `transfer_to`, another dataset's clips).
    `controls` adds class-name, swapped and scrambled of the set with the most descriptors, `control` others
    of it by name. `screen` trains all sets and seeds of a fold at once on features of a frozen image tower;
    with `then` it does so on clips outside the test folds, and the best `then` sets are measured in full with
    their controls. `dataset` is packed clips, their folder or their name in `dfer.yaml`, by default the only
    one named there; `folds` are the test folds, by default all. `choices` are the keywords of `Choices`.
    Runs are stored in the workspace, by default the current one, and reused by the next call. `engine`
    "local" or "slurm" trains each in its own process (see `engine_for`). `track` names the trackers of each
    run, as in `train`; `note` receives the number of trainings of each measure.
    Finished runs among `sets`, also imported ones, are evaluated without training (see `compare_runs`).
    Raises InputError, and Interrupted on Ctrl-C: the same call continues from there.
    """
    from dfer_model.training.loggers import chosen_trackers

    place = workspace or Workspace.find()
    context = RunContext(place, device, progress, note, chosen_trackers(track))
    measures = (measure,) if isinstance(measure, str) else tuple(measure)
    if any(names_run(each, place) for each in sets):
        _require_plain(measures, (shots, transfer_to, controls, control, screen, then, engine))
        return compare_runs(sets, dataset, folds, seeds, context, choices)
    clips = open_dataset(place, dataset)
    if screen or then is not None:
        require_screening(screen, then, measures, (shots, transfer_to), choices.get("select"), engine, track)
    question = _Question(
        clips=clips,
        settings=settings_for(place, clips.name, choices, device=None if engine == "slurm" else device),
        folds=folds_to_test(clips, folds),
        seeds=each_once(seeds, "seed"),
        controls=tuple(dict.fromkeys([*(USUAL_CONTROLS if controls else ()), *control])),
        measures=measures,
        shots=shots,
        transfer_to=transfer_to,
        screen=screen,
        then=then,
        choices=choices,
        workspace=place,
    )
    context = replace(context, engine=engine_for(place, engine, jobs, runs_per_gpu, retries, device))
    for each in question.notes(engine):
        note(each)
    given = loaded([each for each in sets if isinstance(each, DescriptionSet | str)], place)
    study, screening = _narrowed(question, given, context)
    return _stored(place, study, *_run(study, context), screening, question.request(given, study))


def _require_plain(measures: tuple[str, ...], options: tuple[object, ...]) -> None:
    """Raise InputError if runs are given together with options for description sets."""
    if measures != ("supervised",) or any(options):
        raise InputError(
            "runs are compared without training, by the measure supervised and without controls\n"
            "Leave these options out, or give description sets only"
        )


@dataclass(frozen=True)
class _Question:
    """The options of a comparison, without its sets; `controls` are names of kinds of controls."""

    clips: PackedClips
    settings: Settings
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    controls: tuple[str, ...]
    measures: tuple[str, ...]
    shots: Iterable[int] | None
    transfer_to: PackedClips | Path | str | None
    screen: bool
    then: int | None
    choices: Choices
    workspace: Workspace

    def notes(self, engine: EngineName | None) -> list[str]:
        """What the user should know of the settings before training with `engine`."""
        preset = self.choices.get("preset")
        of_training = training_notes(self.workspace, self.clips, self.settings, preset, self.folds)
        return [*of_training, *cluster_notes(self.workspace, self.choices, engine)]

    def about(self, sets: Sequence[DescriptionSet]) -> _Study:
        """The study of these sets. Raises InputError for sets that cannot be compared."""
        from dfer_model.comparison.grid import Grid
        from dfer_model.comparison.screening.screener import frozen

        candidates, control_sets = _described(sets, self.controls)
        described = [*candidates, *control_sets]
        texts = tuple(class_texts(each, self.clips.class_names) for each in described)
        require_unseen(described, self.clips.name, self.clips.fingerprint, self.folds)
        if self.screen and self.then is None:
            settings, request = frozen(self.settings), SCREENING
        else:
            settings = self.settings
            request = measure_request(
                self.measures, self.shots, self.transfer_to, self.clips, described, self.workspace
            )
        grid = Grid(settings, texts, self.folds, self.seeds)
        return _Study(self.clips, grid, request, candidates, control_sets)

    def request(self, given: Sequence[DescriptionSet], study: _Study) -> ComparisonRequest:
        """The options of this comparison, as on the command line."""
        from dfer_model.comparison.record import ComparisonRequest

        target = study.request.target
        return ComparisonRequest(
            sets=tuple(each.name for each in given),
            dataset=str(self.clips.path),
            measure=() if self.screen and self.then is None else self.measures,
            shots=tuple(self.shots) if self.shots is not None else None,
            transfer_to=str(target.clips.path) if target else None,
            controls=self.controls,
            screen=self.screen,
            then=self.then,
            folds=self.folds,
            seeds=self.seeds,
            **_chosen(self.choices),
        )


@dataclass(frozen=True)
class _Study:
    """A comparison to run: the grid's texts are those of `candidates`, then those of `controls`."""

    clips: PackedClips
    grid: Grid
    request: MeasureRequest
    candidates: Sequence[DescriptionSet]
    controls: Sequence[DescriptionSet]


def _narrowed(
    question: _Question, given: Sequence[DescriptionSet], context: RunContext
) -> tuple[_Study, Screening | None]:
    """The study of the sets given or, with `then`, of the best ones by screening.

    Everything is checked before the screening starts.
    """
    study, then = question.about(given), question.then
    if then is None:
        return study, None
    require_choice(then, len(study.candidates), len(study.controls))
    planned(study.request, study.grid, study.clips)
    screening = choose(study.candidates, then, study.grid, study.clips, context)
    best = [each for each in given if each.manifest.control or each.name in screening.chosen]
    return question.about(best), screening


def _described(
    named: Sequence[DescriptionSet], controls: Iterable[str]
) -> tuple[list[DescriptionSet], list[DescriptionSet]]:
    """The sets, and the controls: those among them, then `controls` of the set with the most descriptors.

    Raises InputError for a set without a name, a repeated one, controls alone, or one set without a control.
    """
    names = [each.name for each in named]
    if not all(names):
        raise InputError("the set is unsaved; save it first")
    candidates = [each for each in named if each.manifest.control is None]
    if not candidates:
        raise InputError(
            f"{' and '.join(names)}: controls alone cannot be compared; add the set they were made from"
        )
    largest = max(candidates, key=lambda each: sum(len(m) for ms in each.members.values() for m in ms))
    made = [control_set(name, largest) for name in controls]
    if len(named) + len(made) < 2:
        raise InputError("one set alone cannot be compared\nAdd a second one, or --controls")
    if len({*names, *(each.name for each in made)}) != len(named) + len(made):
        raise InputError("a set is given twice")
    return candidates, [*(each for each in named if each.manifest.control is not None), *made]


def _run(study: _Study, context: RunContext) -> tuple[list[Run], list[Measured]]:
    """The runs of the measures, and the results of each measure."""

    if study.request is SCREENING:
        return [], screened(study.grid, study.clips, context)
    try:
        return measured(study.request, study.grid, study.clips, context)
    except (KeyboardInterrupt, Interrupted) as error:
        stored = f"finished runs and the last epoch of the current one are in {context.workspace.runs}"
        raise Interrupted(f"Stopped; {stored}\nGive the same command again to continue") from error


def _stored(
    workspace: Workspace,
    study: _Study,
    runs: Sequence[Run],
    found: Sequence[Measured],
    screening: Screening | None,
    request: ComparisonRequest,
) -> ComparisonRecord:
    from dfer_model.comparison.record import ComparisonRecord, ControlOrigin
    from dfer_model.comparison.results import compare as compared
    from dfer_model.reports.comparison_figures import draw_measures

    clips, grid, target = study.clips, study.grid, study.request.target
    names = [each.name for each in study.controls]
    comparison = compared(found, names, grid.folds, grid.seeds, grid.settings.select)
    ids = tuple(run.id for run in runs)
    folder = workspace.root / "comparisons" / _name(study, ids, screening)
    if screening:
        comparison = replace(comparison, caveats=(*comparison.caveats, *screening.caveats))
    classes = target.clips.class_names if target else clips.class_names
    result = ComparisonRecord(
        folder=folder,
        dataset=clips.name,
        comparison=comparison,
        settings=grid.settings,
        texts=grid.texts,
        controls={
            each.name: ControlOrigin(
                made_of=tuple(each.manifest.parents), seed=each.manifest.derivation.get("seed")
            )
            for each in study.controls
        },
        runs=ids,
        transfer_to=target.clips.name if target else None,
        figures=draw_measures(folder, comparison, len(clips.class_names), len(classes)),
        screening=screening,
        request=request,
        clips=(str(clips.path), *([str(target.clips.path)] if target else [])),
    )
    by_measure = _confusions(found, {"transfer": classes}, clips.class_names)
    write_atomically(folder / "confusions.json", json.dumps(by_measure, ensure_ascii=False))
    result.write()
    return result


def _chosen(choices: Choices) -> dict[str, Any]:
    """The given choices, for a request; weights are text, overrides a tuple."""
    given: dict[str, Any] = {key: value for key, value in choices.items() if value is not None}
    return given | {"overrides": tuple(choices.get("overrides", ()))}


def _confusions(
    found: Sequence[Measured], others: dict[str, tuple[str, ...]], usual: tuple[str, ...]
) -> dict[str, Any]:
    """The confusion matrices of measures whose predictions no run stores: by measure, then by set.

    The classes are the `usual` ones, or a measure's own in `others`; a matrix for each seed. `folds` are the
    matrices of each test fold; empty for clips without folds.
    """
    fields = {}
    for each in found:
        if each.name in ("zero-shot", "screened", "transfer"):
            classes, (answers,) = others.get(each.name, usual), each.parts
            matrices = {name: answers.confusion(name, len(classes)).tolist() for name in answers.predicted}
            by_fold = {name: _by_fold(answers, name, len(classes)) for name in answers.predicted}
            fields[each.name] = {"class_names": list(classes), "sets": matrices, "folds": by_fold}
    return fields


def _by_fold(answers: Answers, name: str, classes: int) -> dict[int, Any]:
    """The confusion matrices of a set by fold; fold 0 is that of clips without one."""
    folds = sorted({int(each) for each in answers.folds} - {0})
    return {fold: answers.confusion(name, classes, fold).tolist() for fold in folds}


def _name(study: _Study, runs: Sequence[str], screening: Screening | None) -> str:
    """The name of the comparison's folder, a hash of what is compared."""
    from dfer_model.runs import weights_identity

    clips, grid, request = study.clips, study.grid, study.request
    identity = [
        *runs,
        *(each.name for each in grid.texts),
        *request.measures,
        request.target.clips.fingerprint if request.target else "",
        *(
            [clips.fingerprint, grid.folds, grid.settings.clip, weights_identity(grid.settings)]
            if not runs
            else []
        ),
        *([spec.definition for spec in grid.specs(clips)] if request is SCREENING else []),
        *([each.name for each in screening.sets] if screening else ()),
    ]
    return hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:12]
