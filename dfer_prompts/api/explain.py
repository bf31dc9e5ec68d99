"""Explain a prediction for a video by the descriptors of the model's description set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dfer_model.progress import Progress, silence

from ..description_set import DescriptionSet
from ..errors import InputError, system_errors
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .evaluate import own_clips
from .inputs import Choices, descriptor_texts
from .model_source import ModelFacts, Source, find_source
from .predict import Refused, VideoKeywords, VideoPredictor, predict_each, video_predictor

if TYPE_CHECKING:
    from dfer_model.data.images import Pixels
    from dfer_model.data.packed import PackedClips
    from dfer_model.evaluation.classify import Prediction
    from dfer_model.evaluation.explanation import Explainer, Explanation
    from dfer_model.exchange.model_file import PretrainedModel
    from dfer_model.runs import Run
    from dfer_model.video.footage import Footage


@dataclass(frozen=True)
class ExplainedVideo:
    """A prediction for one window of a video, its explanation, and the set of the descriptors."""

    run: str  # empty for a model without a run
    video: Path
    descriptions: str
    prediction: Prediction  # that of `predict` for the window
    explanation: Explanation
    notes: tuple[str, ...]
    model: ModelFacts

    @property
    def frames(self) -> tuple[int, ...]:
        """The 0-based indices in the video of the frames explained, in temporal order."""
        return tuple(self.prediction.frames[place] for place in self.explanation.order)

    def as_dict(self) -> dict[str, Any]:
        """What `explain --json` prints."""
        return {
            "run": self.run,
            "model": self.model.as_dict(),
            "descriptions": self.descriptions,
            "notes": list(self.notes),
            **self.prediction.as_dict(),
            **self.explanation.as_dict(),
            "frames": list(self.frames),
        }


@system_errors()
def explain(
    run: Run | PretrainedModel | DescriptionSet | Path | str,
    video: Path | str,
    *,
    descriptions: DescriptionSet | str | None = None,
    preset: str | None = None,
    clip: str | None = None,
    weights: str | None = None,
    overrides: Sequence[str] = (),
    at: float | None = None,
    plot: Path | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    **how: Unpack[VideoKeywords],
) -> ExplainedVideo:
    """The similarity of a face in a video to each descriptor over time, beside the prediction.

    `run` is a run, a description set or a model file, as in `predict`. Faces are found, tracked and cut into
    windows as there, with the same `how`. Of several windows the one that contains the time `at` (in seconds,
    nearest middle) is explained; without `at`, the one with the most confident prediction. The descriptors
    are those of the model's own set, if it is in the workspace, or of another set of the same classes.
    `preset`, `clip`, `weights` and `overrides` choose the CLIP of a description set; for a run, `weights` are
    those of the CLIP that it started from, if they were moved. `plot` is a .png or .svg file to draw. Raises
    InputError for a video that cannot be read or shows no face, an unfinished run, missing descriptors, and a
    text tower that cannot be loaded.
    """
    from dfer_model.reports.run_figures import check_picture

    if plot is not None:
        check_picture(plot)
    place = workspace or Workspace.find()
    source = find_source(run, place)
    # Missing descriptors of a run are an error before its model is loaded.
    described = _described(source, source.run, descriptions, place) if source.run else None
    choices: Choices = {"preset": preset, "clip": clip, "overrides": overrides}
    if source.described is not None:
        choices["weights"], weights = weights, None
    predictor = video_predictor(source, workspace=place, device=device, choices=choices, **how)
    if described is None:
        described = _described(source, predictor.pretrained.run, descriptions, place)
    explainer = _explainer(described, predictor, weights, device)
    chosen = _window(predictor, Path(video), at, progress)
    messages = (source.note, predictor.note, predictor.facts.note, predictor.warning)
    chosen = replace(chosen, notes=(*[each for each in messages if each], *chosen.notes))
    return _explained(described, explainer, predictor, chosen, plot)


def explain_window(
    predictor: VideoPredictor,
    chosen: ChosenWindow,
    *,
    plot: Path | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
) -> ExplainedVideo:
    """As `explain`, for a window of a video that a model has processed already.

    Raises InputError for missing descriptors, and for a text tower that cannot be loaded.
    """
    place = workspace or Workspace.find()
    described = _described(predictor.source, predictor.pretrained.run, None, place)
    explainer = _explainer(described, predictor, None, device)
    return _explained(described, explainer, predictor, chosen, plot)


def _explainer(
    described: DescriptionSet, predictor: VideoPredictor, weights: str | None, device: str
) -> Explainer:
    from dfer_model.evaluation.explanation import Explainer

    run = predictor.pretrained.run
    listed = dict(zip(run.class_names, descriptor_texts(described, run.class_names), strict=True))
    return Explainer(
        run, listed, _clips(run), weights=weights, model=predictor.pretrained.model, device=device
    )


def _explained(
    described: DescriptionSet,
    explainer: Explainer,
    predictor: VideoPredictor,
    chosen: ChosenWindow,
    plot: Path | None,
) -> ExplainedVideo:
    from dfer_model.reports.explanation_figure import explanation_figure
    from dfer_model.video.predict_video import as_frames

    frames, facts = as_frames(chosen.crops), predictor.facts
    explained = explainer(frames, chosen.prediction.seconds)
    if plot is not None:
        title = f"{called(chosen.prediction)} ({facts.name}, descriptors of {described.name})"
        explanation_figure(plot, explained, [frames[each] for each in explained.order], title)
    notes = (*chosen.notes, *_notes(explainer.run, explainer))
    video = chosen.prediction.video
    return ExplainedVideo(predictor.run, video, described.name, chosen.prediction, explained, notes, facts)


def called(prediction: Prediction) -> str:
    """The window and its prediction: "clip.mp4, 2.0 to 6.0 s, track 1: happiness"."""
    track = "" if prediction.track is None else f", track {prediction.track}"
    return f"{prediction.video.name}, {_span(prediction)}{track}: {prediction.expression}"


def _span(prediction: Prediction) -> str:
    return f"{prediction.start or 0:.1f} to {prediction.end or 0:.1f} s"


class WindowChoice:
    """Selects the window to explain and its crops: the one at a time, else the most confident."""

    def __init__(self, at: float | None) -> None:
        self.at = at
        self.kept: tuple[Prediction, Sequence[Pixels]] | None = None

    def __call__(self, _footage: Footage, prediction: Prediction, crops: Sequence[Pixels]) -> None:
        """Replace the selected window if this one ranks higher."""
        start, end = prediction.start or 0.0, prediction.end or 0.0
        if self.at is not None and not start <= self.at <= end:
            return
        if self.kept is None or self._rank(prediction) > self._rank(self.kept[0]):
            self.kept = prediction, crops

    def _rank(self, prediction: Prediction) -> tuple[float, float]:
        middle = ((prediction.start or 0.0) + (prediction.end or 0.0)) / 2
        away = 0.0 if self.at is None else abs(middle - self.at)
        return -away, max(prediction.probabilities.values())


@dataclass(frozen=True)
class ChosenWindow:
    """A window to explain: its prediction, its crops, and notes on the choice and the video."""

    prediction: Prediction
    crops: Sequence[Pixels]
    notes: tuple[str, ...]


def _window(predictor: VideoPredictor, video: Path, at: float | None, progress: Progress) -> ChosenWindow:
    """The window of a video to explain. Raises InputError if there is none."""
    choice = WindowChoice(at)
    (predicted_video,) = predict_each(predictor, [video], keep=choice, progress=progress)
    if isinstance(predicted_video, Refused):
        raise InputError(predicted_video.reason)
    predictions, notes = predicted_video.predictions, list(predicted_video.notes)
    if not predictions:
        way_out = "" if predicted_video.followed.tracks else "\nUse whole frames: --faces none"
        raise InputError(f"{notes[-1]}{way_out}")
    if choice.kept is None:
        first, last = (
            min(each.start or 0.0 for each in predictions),
            max(each.end or 0.0 for each in predictions),
        )
        raise InputError(
            f"no prediction window covers t = {at:g} s in {video}\n"
            f"Its windows cover {first:.1f} to {last:.1f} s"
        )
    if predicted_video.problem:
        notes.append(f"{predicted_video.problem.splitlines()[0]}; the frames before it are explained")
    if at is None and len(predictions) > 1:
        notes.append(
            f"the most confident of {len(predictions)} windows is explained; choose another with --at SECONDS"
        )
    return ChosenWindow(*choice.kept, tuple(notes))


def _described(
    source: Source, run: Run, given: DescriptionSet | str | None, workspace: Workspace
) -> DescriptionSet:
    """The set whose descriptors explain the model: the one given, else its own, unchanged."""
    store = DescriptionStore(workspace)
    if given is not None:
        described = store.load(given) if isinstance(given, str) else given
        described.class_texts(run.class_names)  # raises if a class is not covered
        return described
    if source.described is not None:
        return source.described
    if not run.settings.uses_texts:
        raise InputError(
            f"{run.id} was trained without texts\nGive descriptors to explain it: --descriptions v1"
        )
    absent = InputError(
        f"the descriptors of {run.texts.name} that {run.id} was trained on are not in the workspace\n"
        "A run stores whole sentences only; give a set to explain it: --descriptions V"
    )
    try:
        described = store.load(run.texts.name)
    except InputError as error:
        raise absent from error
    if described.sha256 != run.texts.sha256:
        raise absent
    return described


def _clips(run: Run) -> PackedClips | None:
    """The run's own clips, if they still exist; a model file has none."""
    if "dataset" not in run.config:
        return None
    try:
        return own_clips(run)
    except InputError:
        return None


def _notes(run: Run, explainer: Explainer) -> tuple[str, ...]:
    notes = []
    if explainer.model.temperature != 1:
        notes.append(
            f"the probabilities are calibrated: logits are divided by {explainer.model.temperature:.3g}"
        )
    if explainer.reference is None:
        clips = f"the training clips of {run.id} were not found"
        if run.settings.is_zero_shot:
            clips = "nothing was trained, so there are no training clips"
        notes.append(
            f"{clips}: similarities are shown relative to their mean in this video, so constant features "
            "show no rise"
        )
    if run.settings.test_crops > 1:
        notes.append(
            f"the prediction uses {run.settings.test_crops} crops of each frame, the evidence the whole frame"
        )
    return tuple(notes)
