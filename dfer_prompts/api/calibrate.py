"""Temperature scaling of a finished run, fitted on clips that were not used in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_model.io import write_atomically
from dfer_model.progress import Progress, silence

from ..errors import InputError, system_errors
from ..workspace import Workspace
from .evaluate import finished_run, own_clips
from .inputs import open_dataset

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.evaluation.calibration import Calibration, CalibrationFigures
    from dfer_model.runs import Predictions, Run

FEW = 100  # clips
NO_GAIN = (
    "on the test fold this temperature does not reduce the log-loss: the clips it was fitted on differ; "
    "remove calibration.json to restore the uncalibrated probabilities"
)
PICTURES = ("reliability.png", "reliability.svg")


@dataclass(frozen=True)
class Comparison:
    """Probabilities before and after calibration, on the same clips."""

    clips_are: str
    before: CalibrationFigures
    after: CalibrationFigures


@dataclass(frozen=True)
class CalibratedRun:
    """A fitted temperature and its effect; `judged` is None for a run without recorded predictions."""

    run: str
    folder: Path
    calibration: Calibration
    fitted: Comparison
    judged: Comparison | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """What `calibrate --json` prints."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            "temperature": self.calibration.temperature,
            "fitted": asdict(self.fitted),
            "judged": None if self.judged is None else asdict(self.judged),
            "notes": list(self.notes),
            "pictures": list(PICTURES),
        }


@system_errors()
def calibrate(
    run: Run | Path | str,
    dataset: PackedClips | Path | str | None = None,
    *,
    fold: int | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
) -> CalibratedRun:
    """Fit a temperature to a finished run, store it in its folder as `calibration.json`, and plot its effect.

    The clips are those of the run's training folds that were not used in training or, with another `dataset`,
    all of its clips or those of one `fold`. The effect is measured on the run's test fold. From then on the
    run's probabilities are calibrated, also in exported files, and its card says so; its predictions stay.

    Raises InputError if the run is not finished, if there are no such clips, and if no temperature fits.
    """
    from dfer_model.evaluation.calibration import Calibration, fit_temperature, write_calibration
    from dfer_model.evaluation.evaluate import evaluate_run
    from dfer_model.reports.run_card import card_of

    place = workspace or Workspace.find()
    found = finished_run(run, place)
    clips = own_clips(found) if dataset is None else open_dataset(place, dataset)
    own = dataset is None or clips.fingerprint == found.config["dataset"]["fingerprint"]
    indices, which = _fitting_clips(found, clips, fold, own)
    notes = _notes(found, clips, len(indices), own)
    for each in notes:
        note(each)
    with progress(found.id) as report:
        predictions = evaluate_run(found, clips, indices, device=device, report=report)
    temperature = fit_temperature(predictions.labels, predictions.logits)
    calibration = Calibration(
        temperature, which, len(indices), clips.fingerprint, tuple(predictions.clip_ids)
    )
    fitted = _compared(which, predictions, temperature)
    tested = found.predictions(found.selected) if found.selections else None
    judged = None
    if tested is not None:
        judged = _compared(f"the clips of fold {found.fold}, the test fold", tested, temperature)
        if judged.after.likelihood_loss >= judged.before.likelihood_loss:
            notes = (*notes, NO_GAIN)
            note(NO_GAIN)
    _draw(found, tested or predictions, judged or fitted, temperature)
    write_calibration(found, calibration)
    write_atomically(found.folder / "README.md", card_of(found))
    return CalibratedRun(found.id, found.folder, calibration, fitted, judged, notes)


def _fitting_clips(run: Run, clips: PackedClips, fold: int | None, own: bool) -> tuple[np.ndarray, str]:
    """Indices of the clips that the temperature is fitted on, and a description of them."""
    from dfer_model.evaluation.calibration import untrained_clips
    from dfer_model.run_config import dataset_parts

    if own and fold is not None:
        does = "is its test fold" if fold == run.fold else "was used to train it"
        raise InputError(
            f"fold {fold} of {clips.name} cannot calibrate {run.id}: it {does}\n"
            "Leave --fold out to use the clips of its training folds that were not used in training"
        )
    if own:
        return untrained_clips(
            run, clips
        ), f"clips of the training folds of {clips.name} not used in training"
    if clips.fingerprint in {each.fingerprint for each in dataset_parts(run.config)}:
        raise InputError(
            f"{run.id} was trained on {clips.name} and other datasets\n"
            "Leave --dataset out to use the clips of all of them that were not used in training"
        )
    indices = np.arange(len(clips)) if fold is None else clips.test_indices(fold)
    _refuse_test_clips(run, clips, indices)
    return indices, f"another dataset, {clips.name}" + ("" if fold is None else f", fold {fold}")


def _refuse_test_clips(run: Run, clips: PackedClips, indices: np.ndarray) -> None:
    """Raise InputError for test clips of the run, also in a newly packed copy of the dataset."""
    if not run.selections or clips.name != run.config["dataset"].get("name"):
        return
    tested = set(run.predictions(run.selected).clip_ids) & {clips.clip_ids[index] for index in indices}
    if tested:
        raise InputError(
            f"{len(tested)} of these clips (such as {min(tested)}) are test clips of {run.id}; do not "
            "fit on them\nGive another dataset, or train with --select val"
        )


def _notes(run: Run, clips: PackedClips, count: int, own: bool) -> tuple[str, ...]:
    notes = []
    if own and run.settings.select == "val":
        notes.append(
            "the epoch was selected on these clips too, so the run may be slightly overconfident elsewhere"
        )
    if run.selected == "test-best":
        notes.append("the epoch was selected on the test fold, so its figures are optimistically biased")
    if not own and run.config["dataset"].get("name") in ("", None, clips.name):
        notes.append(f"it is not known whether {run.id} was trained on these clips; it must not have been")
    if count < FEW:
        notes.append(f"{count} clips are few: the temperature is uncertain")
    return tuple(notes)


def _compared(which: str, predictions: Predictions, temperature: float) -> Comparison:
    from dfer_model.evaluation.calibration import calibration_figures

    return Comparison(which, calibration_figures(predictions), calibration_figures(predictions, temperature))


def _draw(run: Run, predictions: Predictions, compared: Comparison, temperature: float) -> None:
    from dfer_model.metrics import reliability
    from dfer_model.reports.run_figures import reliability_figure

    before, after = (reliability(predictions.labels, predictions.logits / t) for t in (1.0, temperature))
    headings = (
        f"as trained: calibration error {compared.before.calibration_error:.1f}%",
        f"divided by {temperature:.3g}: calibration error {compared.after.calibration_error:.1f}%",
    )
    for name in PICTURES:
        title = f"{run.id}: {compared.clips_are} ({len(predictions.labels)})"
        reliability_figure(run.folder / name, before, after, headings, title)
