"""Evaluate a finished run, or an average of several, on clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.progress import Progress, silence

from ..errors import InputError, system_errors
from ..workspace import Workspace
from .datasets import reopened
from .inputs import check_named_url, is_url, open_dataset, open_packed, seen_notes

if TYPE_CHECKING:
    from dfer_model.comparison.group_figures import Grouped
    from dfer_model.data.packed import PackedClips
    from dfer_model.evaluation.evaluate import TestClips
    from dfer_model.evaluation.run_ensembles import RunEnsemble
    from dfer_model.metrics import Measures
    from dfer_model.registry import EnsembleRule
    from dfer_model.runs import Predictions, Run


@dataclass(frozen=True)
class Calibrated:
    """An evaluation with the run's temperature; only the calibration error differs."""

    temperature: float
    calibration_error: float  # percent


@dataclass(frozen=True)
class Evaluated:
    """A run, or an ensemble of runs, evaluated on clips, with the epoch selected by `selection`.

    `beside` are the measures of other epoch selections on the same clips, if recorded. The runs of an
    ensemble are in `runs`, its rule is `ensemble`, and `run` is their ids joined by +. `groups` are the
    results by group of clips, if asked for.
    """

    run: str
    dataset: Path | str  # a URL where the clips are streamed
    clips_judged: str  # in words: "the 40 clips of test fold 1 of drawn"
    notes: tuple[str, ...]
    selection: str
    measures: Measures
    predictions: Predictions
    beside: dict[str, Measures]
    calibrated: Calibrated | None = None  # None for a run without a fitted temperature
    runs: tuple[str, ...] = ()
    ensemble: str | None = None
    groups: Grouped | None = None
    # By dataset, of a run that was trained on several.
    datasets: Mapping[str, Measures] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What `evaluate --json` prints."""
        return {
            "run": self.run,
            "dataset": str(self.dataset),
            "clips_judged": self.clips_judged,
            "notes": list(self.notes),
            "selection": self.selection,
            **self.measures.as_dict(),
            "beside": {name: each.as_dict() for name, each in self.beside.items()},
            "calibrated": None if self.calibrated is None else asdict(self.calibrated),
            "runs": list(self.runs),
            "ensemble": self.ensemble,
            "groups": None if self.groups is None else self.groups.as_dict(),
            **(
                {"datasets": {key: each.as_dict() for key, each in self.datasets.items()}}
                if self.datasets
                else {}
            ),
        }


@system_errors()
def evaluate(
    run: Run | Path | str | Sequence[Run | Path | str],
    dataset: PackedClips | Path | str | None = None,
    *,
    ensemble: EnsembleRule | None = None,
    every: bool = False,
    out: Path | None = None,
    groups: Path | str | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
) -> Evaluated:
    """Evaluate a finished run on its test fold, or on other clips; classes are matched by name.

    `run` is a run, its folder, its id or the beginning of one. Several runs require `ensemble`, which
    averages their predictions: "mean-probability" or "mean-logit". They need the same test clips and classes.
    `every` evaluates all clips instead of the test fold; `out` is a .parquet file for the predictions.
    `groups` adds results by group of clips: "scene" (from FERV39k's clip ids) or "FILE.csv:COLUMN", a file
    with the column clip_id. `note` receives caveats before the work starts. Raises InputError if a run is not
    finished, the clips do not fit it, or the groups lack a clip.
    """
    if out is not None and out.suffix != ".parquet":
        raise InputError(
            f"--out {out}: predictions are written as a .parquet file; the file name must end in .parquet"
        )
    from dfer_model.evaluation.evaluate import evaluate_run, measures_by_dataset
    from dfer_model.evaluation.groups import Groups
    from dfer_model.evaluation.run_ensembles import combined, members_of
    from dfer_model.runs import write_predictions

    place = workspace or Workspace.find()
    model = _model(run, ensemble, place)
    runs = members_of(model)
    clips = common_own_clips(runs) if dataset is None else open_dataset(place, dataset)
    tested = common_clips(runs, clips, every=every)
    by = Groups.read(groups) if groups is not None else None
    named = by.of([clips.clip_ids[index] for index in tested.indices]) if by else []
    folds = sorted({int(fold) for fold in clips.folds[tested.indices]})
    seen = (each for member in runs for each in seen_notes(member, clips, folds, place))
    notes = tuple(dict.fromkeys((*tested.notes, *seen)))
    for each in notes:
        note(each)
    parts = []
    for member in runs:
        with progress(member.id) as report:
            parts.append(evaluate_run(member, clips, tested.indices, device=device, report=report))
    first = runs[0]
    predictions = combined(model, parts)
    selection = first.selected if len({member.selected for member in runs}) == 1 else "mixed"
    if out is not None:
        write_predictions(out, first.class_names, {selection: predictions})
    return Evaluated(
        model.id,
        clips.path,
        tested.which,
        notes,
        selection,
        first.measured(predictions),
        predictions,
        _beside(first, clips, every) if model is first else {},
        _calibrated(first, predictions) if model is first else None,
        tuple(member.id for member in runs),
        ensemble,
        _grouped(by.name, named, predictions, first) if by else None,
        measures_by_dataset(clips, tested.indices, predictions, first.class_names),
    )


def _grouped(by: str, groups: Sequence[str], predictions: Predictions, run: Run) -> Grouped:
    """The results by group; `groups` are in the order of the predictions."""
    from dfer_model.comparison.group_figures import group_figures

    correct = predictions.logits.argmax(axis=1) == predictions.labels
    return group_figures(by, groups, predictions.labels, correct[None], run.class_names)


def _model(
    given: Run | Path | str | Sequence[Run | Path | str], rule: EnsembleRule | None, place: Workspace
) -> Run | RunEnsemble:
    """The run, or the ensemble if a rule is given. Raises InputError."""
    from dfer_model.evaluation.run_ensembles import RunEnsemble
    from dfer_model.runs import Run

    listed = [given] if isinstance(given, Run | Path | str) else list(given)
    runs = tuple(finished_run(each, place) for each in listed)
    if rule is not None:
        return RunEnsemble(runs, rule)
    if len(runs) != 1:
        raise InputError(
            f"{len(runs)} runs are given\n"
            "Average them with --ensemble mean-probability or mean-logit, or evaluate one at a time"
        )
    return runs[0]


def common_own_clips(runs: Sequence[Run]) -> PackedClips:
    """The clips that all runs were trained with. Raises InputError if they differ."""
    first = runs[0].config["dataset"]["fingerprint"]
    for run in runs:
        if run.config["dataset"]["fingerprint"] != first:
            raise InputError(
                f"{runs[0].id} and {run.id} were trained with different clips\n"
                "Give the clips to evaluate on: --dataset DIR"
            )
    return own_clips(runs[0])


def common_clips(runs: Sequence[Run], clips: PackedClips, *, every: bool = False) -> TestClips:
    """The test clips of the first run, with the notes of all. Raises InputError if other runs' differ."""
    from dfer_model.evaluation.evaluate import clips_to_test

    tested = [clips_to_test(run, clips, every=every) for run in runs]
    for run, each in zip(runs, tested, strict=True):
        if each.indices.tolist() != tested[0].indices.tolist():
            raise InputError(f"{run.id} is tested on {each.which}, and {runs[0].id} on {tested[0].which}")
    return replace(tested[0], notes=tuple(dict.fromkeys(note for each in tested for note in each.notes)))


def finished_run(given: Run | Path | str, workspace: Workspace) -> Run:
    """The run given, by its folder, its id or the beginning of one. Raises InputError if it is unfinished."""
    from dfer_model.runs import Run, find_run

    found = given if isinstance(given, Run) else find_run(workspace.runs, str(given))
    found.require_finished()
    return found


def _beside(run: Run, clips: PackedClips, every: bool) -> dict[str, Measures]:
    """The measures of the run's other epoch selections, recorded on its test fold only."""
    recorded = (run.folder / "predictions.parquet").is_file()  # a run from the hub has none
    if every or not recorded or clips.fingerprint != run.config["dataset"]["fingerprint"]:
        return {}
    return {name: run.measures(name) for name in run.selections if name != run.selected}


def _calibrated(run: Run, predictions: Predictions) -> Calibrated | None:
    from dfer_model.evaluation.calibration import calibration_figures, read_calibration

    known = read_calibration(run)
    if known is None:
        return None
    return Calibrated(
        known.temperature, calibration_figures(predictions, known.temperature).calibration_error
    )


def own_clips(run: Run) -> PackedClips:
    """The clips a run was trained with. Raises InputError if they are unknown or missing."""
    from dfer_model.data.packed import PackedClips

    if several := reopened(run):
        return several
    own = run.config["dataset"]["path"]
    if not own:
        known = "imported" in run.config or run.config["dataset"]["fingerprint"]
        made = "was imported" if known else "was made without a dataset"
        raise InputError(f"{run.id} {made} and has no clips of its own\nGive them: --dataset DIR")
    if is_url(own):
        check_named_url(f"the run {run.id}", own)
        return open_packed(own)
    if not Path(own).is_dir():
        raise InputError(f"the clips of {run.id} are no longer in {own}\nGive their folder: --dataset DIR")
    return PackedClips.open(Path(own))
