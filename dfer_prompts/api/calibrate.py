"""How sure a finished run may say it is: a temperature fitted on clips that did not train it, and kept."""

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
    from dfer_model.evaluation.calibration import Calibration, Said
    from dfer_model.runs import Predictions, Run

FEW = 100  # clips
NO_GAIN = (
    "on the fold that judges, this temperature makes the log-loss no smaller: what held for the clips it was "
    "fitted on does not hold there; remove calibration.json to leave the probabilities as they were"
)
PICTURES = ("reliability.png", "reliability.svg")


@dataclass(frozen=True)
class Comparison:
    """What is said before and after, on the same clips."""

    clips_are: str
    before: Said
    after: Said


@dataclass(frozen=True)
class CalibratedRun:
    """A fitted temperature and what it is worth; `judged` is None for a run without recorded predictions."""

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
    """Fit a temperature to a finished run, keep it in its folder as `calibration.json`, and draw its worth.

    The clips are those of the run's training folds that did not train it, or, with another `dataset`, all of
    its clips or those of one `fold`. What it is worth is judged on the fold that judges the run. From then on
    the run's probabilities are calibrated, also in files that are exported, and its card says so; its answers
    stay as they are.

    Raises InputError for what is no finished run, where there are no such clips, and where no temperature
    fits.
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
    judging = found.predictions(found.selected) if found.selections else None
    judged = None
    if judging is not None:
        judged = _compared(f"the clips of fold {found.fold}, which judges", judging, temperature)
        if judged.after.likelihood_loss >= judged.before.likelihood_loss:
            notes = (*notes, NO_GAIN)
            note(NO_GAIN)
    _draw(found, judging or predictions, judged or fitted, temperature)
    write_calibration(found, calibration)
    write_atomically(found.folder / "README.md", card_of(found))
    return CalibratedRun(found.id, found.folder, calibration, fitted, judged, notes)


def _fitting_clips(run: Run, clips: PackedClips, fold: int | None, own: bool) -> tuple[np.ndarray, str]:
    """Positions of the clips that the temperature is fitted on, and what they are in words."""
    from dfer_model.evaluation.calibration import untrained_clips

    if own and fold is not None:
        does = "judges it" if fold == run.fold else "trained it"
        raise InputError(
            f"fold {fold} of {clips.name} cannot calibrate {run.id}: it {does}\n"
            "Leave --fold out, and the clips of its training folds that did not train it are taken"
        )
    if own:
        return untrained_clips(
            run, clips
        ), f"clips of the training folds of {clips.name} that did not train it"
    indices = np.arange(len(clips)) if fold is None else clips.test_indices(fold)
    _refuse_judging(run, clips, indices)
    return indices, f"another dataset, {clips.name}" + ("" if fold is None else f", fold {fold}")


def _refuse_judging(run: Run, clips: PackedClips, indices: np.ndarray) -> None:
    """Clips of the dataset's name, packed anew, are still those that judge the run."""
    if not run.selections or clips.name != run.config["dataset"].get("name"):
        return
    judging = set(run.predictions(run.selected).clip_ids) & {clips.clip_ids[index] for index in indices}
    if judging:
        raise InputError(
            f"{len(judging)} of these clips judge {run.id}, as {min(judging)} does: nothing may be fitted on "
            f"them\nGive another dataset, or train with --select val"
        )


def _notes(run: Run, clips: PackedClips, count: int, own: bool) -> tuple[str, ...]:
    notes = []
    if own and run.settings.select == "val":
        notes.append(
            "these clips also chose the epoch, so the run may look a little surer on them than it is"
        )
    if run.selected == "test-best":
        notes.append("the epoch was chosen on the fold that judges, so its figures flatter, before and after")
    if not own and run.config["dataset"].get("name") in ("", None, clips.name):
        notes.append(f"whether these clips trained {run.id} cannot be seen from here: none of them may have")
    if count < FEW:
        notes.append(f"{count} clips are few: the temperature would be another with other clips")
    return tuple(notes)


def _compared(which: str, predictions: Predictions, temperature: float) -> Comparison:
    from dfer_model.evaluation.calibration import said

    return Comparison(which, said(predictions), said(predictions, temperature))


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
