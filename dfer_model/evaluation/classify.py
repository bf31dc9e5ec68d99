"""A video in, the probability of each expression out: the whole picture, 16 frames taken as in a test."""

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
from dfer_model.devices import choose_device, precision
from dfer_model.errors import WorkError
from dfer_model.memory import telling_of_memory
from dfer_model.runs import Run

from .trained_model import TrainedModel, load_trained

WHOLE_FRAMES = (
    "Frames are taken whole: no face is looked for. A model trained on cropped faces answers best to "
    "videos that show little else."
)


@dataclass(frozen=True)
class Prediction:
    """What a run says of one video."""

    video: Path
    probabilities: dict[str, float]  # class name -> 0..1 in the run's class order, 1 together
    frames: tuple[int, ...]  # 0-based places of the frames taken, per segment; a short video repeats its last
    seconds: tuple[float | None, ...]  # where these are; None in a video without a frame rate
    start: float | None = None  # seconds; of a window, None of a video taken as a whole
    end: float | None = None
    track: int | None = None  # the face's number in the video, None where frames are taken whole
    box: tuple[float, float, float, float] | None = None  # left, top, right, bottom in pixels, its median

    @property
    def expression(self) -> str:
        """The class name with the highest probability."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        said: dict[str, Any] = {
            "video": str(self.video),
            "expression": self.expression,
            "probabilities": self.probabilities,
            "frames": list(self.frames),
            "seconds": list(self.seconds),
        }
        if self.start is not None:
            said |= {"start": self.start, "end": self.end}
        if self.track is not None and self.box is not None:
            said |= {"track": self.track, "box": [round(value, 1) for value in self.box]}
        return said


def predict(run: Run, videos: Sequence[Path], device: str | None = None) -> list[Prediction]:
    """What a finished run says of each video.

    Raises InputError for the first video that cannot be read, and for an unfinished or damaged run.
    """
    where = choose_device(device)
    model = load_trained(run, where)
    return [predict_video(model, run.class_names, Path(each), run.settings, where) for each in videos]


def predict_video(
    model: TrainedModel, class_names: Sequence[str], video: Path, settings: Settings, device: torch.device
) -> Prediction:
    """What a model says of one video. Raises InputError when the video cannot be read."""
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
    """What a model says of one clip, in the order of its classes, 1 together.

    `samples` has `settings.test_segments` lists of uint8 frames (3, H, W). Raises WorkError, which names
    `what` was asked of, when the answer is not finite.
    """
    views = crop_views(samples, model.image_size, settings.test_crops)  # (views, T, 3, S, S)
    short = telling_of_memory(device, f"the frames of {what} did not fit", "Give --device cpu")
    with short, torch.inference_mode(), precision(settings.precision, device):
        logits = [model(view[None].to(device))[0].float() for view in views]
        probabilities: list[float] = model.probabilities(torch.stack(logits).mean(dim=0)).tolist()
    if not all(0 <= value <= 1 for value in probabilities):
        raise WorkError(f"the model's answer to {what} is not finite: its weights are spoiled")
    return probabilities
