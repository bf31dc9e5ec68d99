"""Predictions for a video: class probabilities from whole frames, sampled as in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfer_model.config import Settings
from dfer_model.data.augmentation import crop_views
from dfer_model.data.video import read_sampled_frames
from dfer_model.devices import choose_device, inference_precision
from dfer_model.errors import WorkError
from dfer_model.memory import out_of_memory_error
from dfer_model.runs import Run

from .trained_model import TrainedModel, load_trained

WHOLE_FRAMES = (
    "Whole frames are used, without face detection. A model trained on cropped faces works best on videos "
    "that show little else."
)


@dataclass(frozen=True)
class Prediction:
    """The prediction of a run for one video or window."""

    video: Path
    probabilities: dict[str, float]  # class name -> 0..1 in the run's class order; the sum is 1
    frames: tuple[int, ...]  # 0-based indices of the frames, per segment; a short video repeats its last
    seconds: tuple[float | None, ...]  # times of these; None in a video without a frame rate
    start: float | None = None  # seconds; None if it is not of a window
    end: float | None = None
    track: int | None = None  # the face's number in the video, None for whole frames
    box: tuple[float, float, float, float] | None = (
        None  # left, top, right, bottom in pixels, median over frames
    )

    @property
    def expression(self) -> str:
        """The class name with the highest probability."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        plain: dict[str, Any] = {
            "video": str(self.video),
            "expression": self.expression,
            "probabilities": self.probabilities,
            "frames": list(self.frames),
            "seconds": list(self.seconds),
        }
        if self.start is not None:
            plain |= {"start": self.start, "end": self.end}
        if self.track is not None and self.box is not None:
            plain |= {"track": self.track, "box": [round(value, 1) for value in self.box]}
        return plain


def predict(run: Run, videos: Sequence[Path], device: str | None = None) -> list[Prediction]:
    """The predictions of a finished run for each video.

    Raises InputError for the first video that cannot be read, and for an unfinished or damaged run.
    """
    where = choose_device(device, tf32=run.settings.tf32)
    model = load_trained(run, where)
    return [predict_video(model, run.class_names, Path(each), run.settings, where) for each in videos]


def predict_video(
    model: TrainedModel, class_names: Sequence[str], video: Path, settings: Settings, device: torch.device
) -> Prediction:
    """The prediction of a model for one video. Raises InputError if the video cannot be read."""
    sampled = read_sampled_frames(video, settings.frames, settings.test_segments)
    samples = [list(sample) for sample in torch.split(sampled.frames, settings.frames)]
    probabilities = class_probabilities(model, samples, settings, device, str(video))
    return Prediction(
        video,
        dict(zip(class_names, probabilities, strict=True)),
        tuple(sampled.indices),
        tuple(None if each is None else round(each, 3) for each in sampled.seconds),
    )


def class_probabilities(
    model: TrainedModel,
    samples: Sequence[Sequence[Tensor]],
    settings: Settings,
    device: torch.device,
    what: str,
) -> list[float]:
    """The probabilities of one clip, in class order; the sum is 1.

    `samples` has `settings.test_segments` lists of uint8 frames (3, H, W). Raises WorkError, with the name
    `what`, if the probabilities are not finite.
    """
    views = crop_views(samples, model.image_size, settings.test_crops)  # (views, T, 3, S, S)
    short = out_of_memory_error(device, f"the frames of {what} did not fit", "Give --device cpu")
    with short, torch.inference_mode(), inference_precision(settings.precision, device):
        logits = [model(view[None].to(device))[0].float() for view in views]
        probabilities: list[float] = model.probabilities(torch.stack(logits).mean(dim=0)).tolist()
    if not all(0 <= value <= 1 for value in probabilities):
        raise WorkError(f"the model's probabilities for {what} are not finite: its weights are damaged")
    return probabilities
