"""Comparing sets: each measured on the same clips, folds and seeds, and what that says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..description_set import DescriptionSet
from ..errors import InputError, Interrupted, system_errors
from ..files import write_atomically
from ..seen import require_unseen
from ..sources.controls import control_set
from ..workspace import Workspace
from .choices import Choices, settings_for
from .clips import each_once, judging_folds, open_dataset
from .comparing_runs import ComparedRuns, compare_runs, names_run
from .engines import EngineName, engine_for
from .measures import Asked, asked, measured, planned
from .progress import Progress, silence
from .screening import Choice, choose, require_choice, require_screening, screened
from .texts import class_texts, loaded

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.engines.engine import Engine
    from dfer_model.experiments.experiments import Grid
    from dfer_model.runs import ClassTexts, Run
    from dfer_model.settings import Settings
    from dfer_model.statistics.comparison import Comparison, Measured

USUAL_CONTROLS = ("class-name", "swapped", "scrambled")
SCREENING = Asked(("zero-shot", "screened"), (), None)


@dataclass(frozen=True)
class Compared:
    """A comparison, kept as comparison.json in its `folder`: the figures, and what they were made of.

    `texts` are the sets, the controls last; `controls` says of each control what it was made of and with
    which seed; `runs` are the ids of the trained runs, measure by measure, fold by fold and, within a fold
    and seed, set by set. `transfer_to` is the dataset that transfer was judged on, None without it.
    `figures` are the pictures of the measures in `folder`, each as PNG and SVG. `choice` says how the sets
    were chosen among more of them, None where all that were named are compared. `clips` are the paths of the
    clips and, for transfer, of those it was judged on. Beside it confusions.json says what each set answered
    to the clips of each class, under the measures whose answers no run keeps.
    """

    folder: Path
    dataset: str
    comparison: Comparison
    settings: Settings
    texts: tuple[ClassTexts, ...]
    controls: dict[str, dict[str, Any]]
    runs: tuple[str, ...]
    transfer_to: str | None
    figures: tuple[str, ...]
    choice: Choice | None
    clips: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """What is kept, and what `compare --json` prints."""
        return {
            "folder": str(self.folder),
            "dataset": self.dataset,
            **self.comparison.as_dict(),
            "settings": self.settings.model_dump(mode="json"),
            "texts": [asdict(each) for each in self.texts],
            "controls": self.controls,
            "runs": list(self.runs),
            "transfer_to": self.transfer_to,
            "figures": list(self.figures),
            "screening": self.choice.as_dict() if self.choice else None,
            "clips": list(self.clips),
        }


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
) -> Compared | ComparedRuns:
    """Measure each set on each fold with each seed, once, and say which differences are real.

    `measure` is one or more of "zero-shot" (nothing is trained), "supervised" (all clips; zero-shot beside),
    "few-shot" (`shots` clips of each class, by default 0, 1, 2, 4, 8, 16), "held-out-class" (each class in
    turn is not trained on, then asked for) and "transfer" (judged on `transfer_to`, another dataset's clips).
    `controls` adds class-name, swapped and scrambled of the set with the most descriptors, `control` others
    of it by name. `screen` trains all sets and seeds of a fold at once on features of a frozen image tower;
    with `then` it does so on clips outside the judging folds, and the best `then` sets are measured as asked,
    controls beside them. `dataset` are packed clips, their folder or their name in `dfer.yaml`, by default
    the only ones named there; `folds` of them judge, by default all. `choices` are all that `Choices`
    describes. Runs are kept in the workspace, by default the current one, and found again by the next call.
    `engine` "local" or "slurm" trains them in processes of their own (see `engine_for`). `track` names the
    trackers that follow each run, as in `train`; `note` is told how many trainings each measure takes.
    Finished runs among `sets`, imported ones too, are judged as they are (see `compare_runs`).
    Raises InputError, and Interrupted on Ctrl-C: the same call goes on from there.
    """
    from dfer_model.training.tracking import chosen_trackers

    place = workspace or Workspace.find()
    followed = chosen_trackers(track)
    measures = (measure,) if isinstance(measure, str) else tuple(measure)
    if any(names_run(each, place) for each in sets):
        _require_plain(measures, (shots, transfer_to, controls, control, screen, then, engine))
        return compare_runs(
            *sets, dataset=dataset, folds=folds, seeds=seeds, workspace=place, device=device,
            progress=progress, note=note, trackers=followed, **choices,
        )  # fmt: skip
    named = [each for each in sets if isinstance(each, DescriptionSet | str)]
    clips = open_dataset(place, dataset)
    if screen or then is not None:
        require_screening(screen, then, measures, (shots, transfer_to), choices.get("select"), engine, track)
    question = _Question(
        clips=clips,
        settings=settings_for(place, clips.name, **choices),
        folds=judging_folds(clips, folds),
        seeds=each_once(seeds, "seed"),
        controls=tuple(dict.fromkeys([*(USUAL_CONTROLS if controls else ()), *control])),
        measures=measures,
        shots=shots,
        transfer_to=transfer_to,
        screened_alone=screen and then is None,
        workspace=place,
    )
    where = engine_for(place, engine, jobs, runs_per_gpu, retries, device)
    work = _Work(place, device, progress, note, where, followed)
    study, choice = _narrowed(question, loaded(named, place), then, work)
    return _kept(place, study, *_run(study, work), choice)


def _require_plain(measures: tuple[str, ...], options: tuple[object, ...]) -> None:
    """Raise InputError where runs are named together with options that are for description sets."""
    if measures != ("supervised",) or any(options):
        raise InputError(
            "runs are compared as they are, by the measure supervised and without controls\n"
            "Leave the options for these out, or name description sets alone"
        )


@dataclass(frozen=True)
class _Question:
    """What a comparison asks, whichever sets it is about; `controls` by the names of how they are made."""

    clips: PackedClips
    settings: Settings
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    controls: tuple[str, ...]
    measures: tuple[str, ...]
    shots: Iterable[int] | None
    transfer_to: PackedClips | Path | str | None
    screened_alone: bool
    workspace: Workspace

    def about(self, sets: Sequence[DescriptionSet]) -> _Study:
        """The question put to these sets. Raises InputError for sets that it cannot be put to."""
        from dfer_model.experiments.experiments import Grid
        from dfer_model.screening.grids import frozen

        candidates, control_sets = _described(sets, self.controls)
        described = [*candidates, *control_sets]
        texts = tuple(class_texts(each, self.clips.class_names) for each in described)
        require_unseen(described, self.clips.name, self.clips.fingerprint, self.folds)
        if self.screened_alone:
            settings, wish = frozen(self.settings), SCREENING
        else:
            settings = self.settings
            wish = asked(self.measures, self.shots, self.transfer_to, self.clips, described, self.workspace)
        grid = Grid(settings, texts, self.folds, self.seeds)
        return _Study(self.clips, grid, wish, candidates, control_sets)


@dataclass(frozen=True)
class _Study:
    """What is compared: the grid's texts are those of `candidates`, then those of `controls`."""

    clips: PackedClips
    grid: Grid
    wish: Asked
    candidates: Sequence[DescriptionSet]
    controls: Sequence[DescriptionSet]


@dataclass(frozen=True)
class _Work:
    """Where and how a comparison trains, and whom it tells."""

    workspace: Workspace
    device: str
    progress: Progress
    note: Callable[[str], None]
    engine: Engine | None
    trackers: Sequence[str]


def _narrowed(
    question: _Question, given: Sequence[DescriptionSet], then: int | None, work: _Work
) -> tuple[_Study, Choice | None]:
    """The question put to the sets given; with `then`, to the best so many of them by screening.

    That all can be measured is known before.
    """
    study = question.about(given)
    if then is None:
        return study, None
    require_choice(then, len(study.candidates), len(study.controls))
    planned(study.wish, study.grid, study.clips)
    choice = choose(
        study.candidates, then, study.grid, study.clips, work.workspace, work.device, work.progress, work.note
    )
    best = [each for each in given if each.manifest.control or each.name in choice.chosen]
    return question.about(best), choice


def _described(
    named: Sequence[DescriptionSet], controls: Iterable[str]
) -> tuple[list[DescriptionSet], list[DescriptionSet]]:
    """The sets, and the controls: those among them, then `controls` of the one with most descriptors.

    Raises InputError for a set without a name, one named twice, for controls alone, and for one set alone
    without a control.
    """
    names = [each.name for each in named]
    if not all(names):
        raise InputError("a draft has no name that figures could stand under; save it first")
    candidates = [each for each in named if each.manifest.control is None]
    if not candidates:
        raise InputError(f"{' and '.join(names)}: controls alone compare nothing; name the set they control")
    largest = max(candidates, key=lambda each: sum(len(m) for ms in each.members.values() for m in ms))
    made = [control_set(name, largest) for name in controls]
    if len(named) + len(made) < 2:
        raise InputError("one set alone cannot be compared\nName a second one, or add --controls")
    if len({*names, *(each.name for each in made)}) != len(named) + len(made):
        raise InputError("a set is named twice; each can be compared with the others only once")
    return candidates, [*(each for each in named if each.manifest.control is not None), *made]


def _run(study: _Study, work: _Work) -> tuple[list[Run], list[Measured]]:
    """The runs of the measures, and what each measure found."""

    grid, clips = study.grid, study.clips
    try:
        runs: list[Run] = []
        if study.wish is SCREENING:
            found = screened(grid, clips, work.workspace, work.device, work.progress, work.note)
        else:
            runs, found = measured(
                study.wish,
                grid,
                clips,
                work.workspace,
                work.device,
                work.progress,
                work.note,
                work.engine,
                work.trackers,
            )
    except (KeyboardInterrupt, Interrupted) as error:
        kept = f"finished runs and the last epoch of the one at work are kept in {work.workspace.runs}"
        raise Interrupted(f"Stopped; {kept}\nGive the same command again to go on") from error
    return runs, found


def _kept(
    workspace: Workspace,
    study: _Study,
    runs: Sequence[Run],
    found: Sequence[Measured],
    choice: Choice | None,
) -> Compared:
    from dfer_model.report.measures import draw_measures
    from dfer_model.statistics.comparison import compare as compared

    clips, grid, wish = study.clips, study.grid, study.wish
    names = [each.name for each in study.controls]
    comparison = compared(found, names, grid.folds, grid.seeds, grid.settings.select)
    ids = tuple(run.id for run in runs)
    folder = workspace.root / "comparisons" / _name(study, ids, choice)
    if choice:
        comparison = replace(comparison, caveats=(*comparison.caveats, *choice.caveats))
    classes = wish.target.clips.class_names if wish.target else clips.class_names
    result = Compared(
        folder=folder,
        dataset=clips.name,
        comparison=comparison,
        settings=grid.settings,
        texts=grid.texts,
        controls={
            each.name: {"made_of": each.manifest.parents, "seed": each.manifest.derivation.get("seed")}
            for each in study.controls
        },
        runs=ids,
        transfer_to=wish.target.clips.name if wish.target else None,
        figures=draw_measures(folder, comparison, len(clips.class_names), len(classes)),
        choice=choice,
        clips=(str(clips.path), *([str(wish.target.clips.path)] if wish.target else [])),
    )
    by_measure = _confusions(found, {"transfer": classes}, clips.class_names)
    write_atomically(folder / "confusions.json", json.dumps(by_measure, ensure_ascii=False))
    told = json.dumps(result.as_dict(), ensure_ascii=False, indent=2)
    write_atomically(folder / "comparison.json", told)
    return result


def _confusions(
    found: Sequence[Measured], others: dict[str, tuple[str, ...]], usual: tuple[str, ...]
) -> dict[str, Any]:
    """What each set answered under the measures whose answers no run keeps: by measure, then by set.

    The classes are the `usual` ones, or a measure's own in `others`; a matrix for each seed.
    """
    told = {}
    for each in found:
        if each.name in ("zero-shot", "screened", "transfer"):
            classes, (answers,) = others.get(each.name, usual), each.parts
            matrices = {name: answers.confusion(name, len(classes)).tolist() for name in answers.said}
            told[each.name] = {"class_names": list(classes), "sets": matrices}
    return told


def _name(study: _Study, runs: Sequence[str], choice: Choice | None) -> str:
    """The name of the comparison's folder: another for anything else that is compared."""
    from dfer_model.runs import weights_identity

    clips, grid, wish = study.clips, study.grid, study.wish
    identity = [
        *runs,
        *(each.name for each in grid.texts),
        *wish.measures,
        wish.target.clips.fingerprint if wish.target else "",
        *(
            [clips.fingerprint, grid.folds, grid.settings.clip, weights_identity(grid.settings)]
            if not runs
            else []
        ),
        *([spec.definition for spec in grid.specs(clips)] if wish is SCREENING else []),
        *(choice.uars if choice else ()),
    ]
    return hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:12]
