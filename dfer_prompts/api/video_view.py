"""Predictions of runs and description sets for a video, with faces, timeline and explanation for the page."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dfer_model.progress import Progress, silence

from ..errors import InputError, unknown
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .explain import ChosenWindow, ExplainedVideo, WindowChoice, explain_window
from .model_source import SETS
from .predict import Refused, VideoPredictor, face_options_of, predict_each, video_predictor
from .run_index import finished_run_named, finished_runs

if TYPE_CHECKING:
    from dfer_model.data.images import Pixels
    from dfer_model.evaluation.classify import Prediction
    from dfer_model.video.footage import Footage

DEMO = "demo/"  # the beginning of the name of a description set with the demo CLIP
MOST_KEPT = 2  # models
MOST_MOMENTS = 24  # windows of which a face is shown


@dataclass(frozen=True)
class Moment:
    """The prediction for one window, and the face in its middle as a JPEG."""

    prediction: Prediction
    face: bytes


@dataclass(frozen=True)
class ShownVideo:
    """A run's predictions for a video. `timeline` is an SVG, None if no face was found.

    `moments` are at most 24, evenly spaced over the windows; `surest` is the most confident window, which
    `VideoPredictors.explain` explains, None if no face was found.
    """

    run: str
    class_names: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    moments: tuple[Moment, ...]
    timeline: str | None
    notes: tuple[str, ...]
    problem: str | None
    surest: ChosenWindow | None = None

    @property
    def means(self) -> list[tuple[str, float]]:
        """The mean probability of each class over the windows, in descending order; empty without a face."""
        probabilities = [each.probabilities for each in self.predictions]
        means = {
            name: sum(each[name] for each in probabilities) / len(probabilities)
            for name in self.class_names
            if probabilities
        }
        return sorted(means.items(), key=lambda item: -item[1])


class VideoPredictors:
    """Processes videos with runs and description sets of a workspace; the last two models stay loaded."""

    def __init__(self, workspace: Workspace, device: str = "auto") -> None:
        self._workspace, self._device = workspace, device
        self._kept: OrderedDict[str, VideoPredictor] = OrderedDict()
        self._lock = Lock()

    def show(
        self,
        run: str,
        video: Path,
        *,
        name: str | None = None,
        faces: str = "auto",
        track: str | int = "largest",
        window: float | None = None,
        stride: float | None = None,
        progress: Progress = silence,
    ) -> ShownVideo:
        """The predictions of `run`, a name of `model_choices`, for a video, shown as `name`.

        The options are those of `face_options_of`. Raises InputError if the workspace has no such
        finished run or description set, for invalid options, and for a video that cannot be read.
        """

        predictor = self._predictor(run)
        face_options, note = face_options_of(
            self._workspace, faces=faces, track=track, window=window, stride=stride
        )
        middles, surest = _Middles(), WindowChoice(None)

        def keep(footage: Footage, prediction: Prediction, crops: Sequence[Pixels]) -> None:
            middles(footage, prediction, crops)
            surest(footage, prediction, crops)

        (answer,) = predict_each(
            replace(predictor, face_options=face_options),
            [video],
            names={video: Path(name)} if name else None,
            keep=keep,
            progress=progress,
            long_frames=0,
        )
        if isinstance(answer, Refused):
            raise InputError(answer.reason)
        of_model = (predictor.facts.note, note, predictor.warning, predictor.calibration_note)
        notes = (*answer.notes, *[each for each in of_model if each])
        return ShownVideo(
            run,
            predictor.window_predictor.class_names,
            answer.predictions,
            tuple(Moment(each, middles.face(each)) for each in _spread(answer.predictions)),
            _timeline(answer.predictions, predictor.window_predictor.class_names),
            notes,
            answer.problem,
            ChosenWindow(*surest.kept, _surest_of(len(answer.predictions))) if surest.kept else None,
        )

    def explain(self, shown: ShownVideo, plot: Path | None = None) -> ExplainedVideo | None:
        """The explanation of the most confident prediction in a processed video.

        None if no face was found. `plot` is a .png or .svg file to draw. Raises InputError as `explain` does.
        """
        if shown.surest is None:
            return None
        predictor = self._predictor(shown.run)
        return explain_window(
            predictor, shown.surest, plot=plot, workspace=self._workspace, device=self._device
        )

    def _predictor(self, run: str) -> VideoPredictor:
        """The model of a choice of `model_choices`, loaded if necessary; never of a path."""
        name = self._known(run)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = video_predictor(
                    name.removeprefix(DEMO),
                    faces="none",
                    workspace=self._workspace,
                    device=self._device,
                    choices={"clip": "demo"} if name.startswith(DEMO) else None,
                )
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[name]

    def _known(self, name: str) -> str:
        """The name, if it is a full run id, or "descriptions/V" or "demo/descriptions/V" of a version V.

        Raises InputError.
        """
        if not name.removeprefix(DEMO).startswith(SETS):
            return finished_run_named(name, self._workspace)
        version = name.removeprefix(DEMO).removeprefix(SETS)
        known = DescriptionStore(self._workspace).list()
        if version not in known:
            raise unknown("description set", version, known)
        return name


def model_choices(workspace: Workspace) -> list[tuple[str, str]]:
    """What a video can be shown to, as (label, name for `VideoPredictors.show`).

    The finished runs, controls last, then the description sets, which predict zero-shot, and the last set
    with the demo CLIP, which needs no download.
    """
    runs = sorted(finished_runs(workspace), key=lambda each: each.what.startswith("control:"))
    sets = DescriptionStore(workspace).list()
    return [
        *((each.id, each.id) for each in runs),
        *((f"{name} (zero-shot)", SETS + name) for name in sets),
        *((f"{name} (demo CLIP, drawn faces)", DEMO + SETS + name) for name in sets[-1:]),
    ]


def default_model(workspace: Workspace) -> str:
    """The newest finished run that is no control, else the last description set with the demo CLIP."""
    names = [name for _, name in model_choices(workspace)]
    return names[0] if finished_runs(workspace) else names[-1]


class _Middles:
    """Stores the face in the middle of every window as a JPEG."""

    def __init__(self) -> None:
        self._faces: dict[tuple[int, float], bytes] = {}

    def __call__(self, _footage: Footage, prediction: Prediction, crops: Sequence[Pixels]) -> None:
        from dfer_model.data.images import encode_jpeg

        self._faces[_key(prediction)] = encode_jpeg(crops[len(crops) // 2])

    def face(self, of: Prediction) -> bytes:
        """The face of the window of a prediction."""
        return self._faces[_key(of)]


def _key(of: Prediction) -> tuple[int, float]:
    """The key of a window: its track (0 for whole frames) and its start."""
    return of.track or 0, of.start or 0.0


def _spread(predictions: Sequence[Prediction]) -> list[Prediction]:
    """At most `MOST_MOMENTS` predictions, evenly spaced, with the first and the last."""
    count = min(len(predictions), MOST_MOMENTS)
    last = max(count - 1, 1)
    return [predictions[round(place * (len(predictions) - 1) / last)] for place in range(count)]


def _surest_of(windows: int) -> tuple[str, ...]:
    return (f"the most confident of {windows} windows",) if windows > 1 else ()


def _timeline(predictions: Sequence[Prediction], class_names: Sequence[str]) -> str | None:
    from dfer_model.video.timeline import draw_timeline

    if not predictions:
        return None
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        path = Path(folder) / "timeline.svg"
        draw_timeline(path, predictions, class_names)
        return path.read_text(encoding="utf-8")
