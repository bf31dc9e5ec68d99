"""Predictions of a finished run for the faces in a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfer_model.config import Settings
from dfer_model.data.images import Pixels
from dfer_model.devices import choose_device
from dfer_model.evaluation.classify import Prediction, class_probabilities
from dfer_model.evaluation.trained_model import TrainedModel, load_trained
from dfer_model.progress import Report, silent
from dfer_model.runs import Run

from .detect import Face
from .footage import Footage
from .passes import FaceOptions, Followed, follow, shown
from .track import FacePath
from .windows import WHOLE, Spacing, Window, windows

Keep = Callable[[Footage, Prediction, Sequence[Pixels]], None]


def keep_nothing(footage: Footage, prediction: Prediction, crops: Sequence[Pixels]) -> None:
    """Discard the crops."""


def as_frames(crops: Sequence[Pixels]) -> list[Tensor]:
    """Crops (H, W, 3) as tensors (3, H, W)."""
    return [torch.from_numpy(crop).permute(2, 0, 1) for crop in crops]


@dataclass(frozen=True)
class PredictedVideo:
    """The result for one video: a prediction for each window of each selected track, by track and time."""

    footage: Footage
    followed: Followed
    paths: tuple[FacePath, ...]
    predictions: tuple[Prediction, ...]
    notes: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """Why the video could not be read completely, or None."""
        return self.followed.problem

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON; a lone window of whole frames is also at the top level."""
        predicted = [each.as_dict() for each in self.predictions]
        lone = predicted[0] if len(predicted) == 1 and "track" not in predicted[0] else {}
        found = {
            "video": str(self.footage.name),
            "frames_in_all": self.followed.frames,
            "seconds_in_all": round(self.followed.seconds, 3),
            "tracks_found": None if lone else len(self.followed.tracks),
            "notes": list(self.notes),
            "windows": predicted,
        }
        return lone | found | ({"error": self.problem} if self.problem else {})


@dataclass(frozen=True)
class WindowPredictor:
    """Predicts the windows of videos: a model on its device, with its class names and settings."""

    model: TrainedModel
    class_names: tuple[str, ...]
    settings: Settings
    device: torch.device

    @classmethod
    def of(cls, run: Run, device: str | None = None) -> WindowPredictor:
        """The model of a finished run. Raises InputError if the run is not finished or damaged."""
        where = choose_device(device, tf32=run.settings.tf32)
        return cls(load_trained(run, where), tuple(run.class_names), run.settings, where)

    def probabilities(self, crops: Sequence[Pixels], what: str) -> dict[str, float]:
        """Class name -> 0..1 for uint8 RGB crops (H, W, 3), `frames` of them per segment."""
        taken = self.settings.frames
        frames = as_frames(crops)
        samples = [frames[start : start + taken] for start in range(0, len(frames), taken)]
        found = class_probabilities(self.model, samples, self.settings, self.device, what)
        return dict(zip(self.class_names, found, strict=True))

    def predict(
        self,
        footage: Footage,
        face_options: FaceOptions,
        *,
        keep: Keep = keep_nothing,
        report: Report = silent,
        known: dict[int, list[Face]] | None = None,
    ) -> PredictedVideo:
        """The predictions for each window of the selected tracks of a video.

        `keep` receives the prediction and the crops of every window as soon as it is complete; `known` is
        that of `follow`.

        Raises InputError if no frame of the video can be read.
        """
        followed = follow(footage, face_options, report, known)
        paths = tuple(followed.chosen(face_options.track))
        settings = self.settings
        planned = planned_windows(paths, face_options, settings.frames, settings.test_segments)
        predictions = []
        for window, crops in shown(footage, paths, planned, face_options, report):
            predicted = self._prediction(footage, window, crops, face_options.detector is not None)
            keep(footage, predicted, crops)
            predictions.append(predicted)
        ordered = sorted(predictions, key=lambda each: (each.track or 0, each.start or 0.0))
        notes = (*footage.notes, *missing_faces(footage, followed, face_options))
        return PredictedVideo(footage, followed, paths, tuple(ordered), notes)

    def _prediction(
        self, footage: Footage, window: Window, crops: Sequence[Pixels], has_face: bool
    ) -> Prediction:
        return Prediction(
            footage.name,
            self.probabilities(crops, str(footage.name)),
            window.frames,
            window.seconds,
            window.start,
            window.end,
            window.track if has_face else None,
            window.box if has_face else None,
        )


def planned_windows(
    paths: Sequence[FacePath], face_options: FaceOptions, frames: int, segments: int = 1
) -> list[Window]:
    """The windows of the tracks; without detector and spacing, one window for the whole video."""
    spacing = face_options.spacing
    if face_options.detector is None and spacing == Spacing():
        spacing = WHOLE
    return [window for path in paths for window in windows(path, spacing, frames, segments)]


def missing_faces(footage: Footage, followed: Followed, face_options: FaceOptions) -> list[str]:
    """Notes if there is nothing to predict."""
    if not followed.tracks:
        return [f"no face was found in {footage.name} ({followed.frames} frames)"]
    if not followed.chosen(face_options.track):
        numbers = ", ".join(str(path.number) for path in followed.tracks)
        return [f"{footage.name} has no track {face_options.track}; it has {numbers}"]
    return []
