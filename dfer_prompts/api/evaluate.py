"""Evaluate a finished run on clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.progress import Progress, silence

from ..errors import InputError, system_errors
from ..workspace import Workspace
from .inputs import check_named_url, is_url, open_dataset, open_packed, seen_notes

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.metrics import Measures
    from dfer_model.runs import Predictions, Run


@dataclass(frozen=True)
class Calibrated:
    """An evaluation with the run's temperature; only the calibration error differs."""

    temperature: float
    calibration_error: float  # percent


@dataclass(frozen=True)
class Evaluated:
    """A run evaluated on clips, with the epoch selected by `selection`.

    `beside` are the measures of other epoch selections on the same clips, if recorded.
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
        }


@system_errors()
def evaluate(
    run: Run | Path | str,
    dataset: PackedClips | Path | str | None = None,
    *,
    every: bool = False,
    out: Path | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
) -> Evaluated:
    """Evaluate a finished run on its test fold, or on other clips; classes are matched by name.

    `run` is a run, its folder, its id or the beginning of one. `every` evaluates all clips instead of the
    test fold; `out` is a .parquet file for the predictions; `note` receives caveats before the work starts.
    Raises InputError if the run is not finished or the clips do not fit it.
    """
    if out is not None and out.suffix != ".parquet":
        raise InputError(
            f"--out {out}: predictions are written as a .parquet file; the file name must end in .parquet"
        )
    from dfer_model.evaluation.evaluate import evaluate_run, judged_clips
    from dfer_model.runs import write_predictions

    place = workspace or Workspace.find()
    found = finished_run(run, place)
    clips = own_clips(found) if dataset is None else open_dataset(place, dataset)
    judged = judged_clips(found, clips, every=every)
    folds = sorted({int(fold) for fold in clips.folds[judged.indices]})
    notes = (*judged.notes, *seen_notes(found, clips, folds, place))
    for each in notes:
        note(each)
    with progress(found.id) as report:
        predictions = evaluate_run(found, clips, judged.indices, device=device, report=report)
    if out is not None:
        write_predictions(out, found.class_names, {found.selected: predictions})
    return Evaluated(
        found.id,
        clips.path,
        judged.which,
        notes,
        found.selected,
        found.measured(predictions),
        predictions,
        _beside(found, clips, every),
        _calibrated(found, predictions),
    )


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
    from dfer_model.evaluation.calibration import read_calibration, said

    known = read_calibration(run)
    if known is None:
        return None
    return Calibrated(known.temperature, said(predictions, known.temperature).calibration_error)


def own_clips(run: Run) -> PackedClips:
    """The clips a run was trained with. Raises InputError if they are unknown or missing."""
    from dfer_model.data.packed import PackedClips

    own = run.config["dataset"]["path"]
    if not own:
        raise InputError(f"{run.id} was imported and has no clips of its own\nGive them: --dataset DIR")
    if is_url(own):
        check_named_url(f"the run {run.id}", own)
        return open_packed(own)
    if not Path(own).is_dir():
        raise InputError(f"the clips of {run.id} are no longer in {own}\nGive their folder: --dataset DIR")
    return PackedClips.open(Path(own))
