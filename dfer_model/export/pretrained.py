"""A model that answers, from a run's folder or from one file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dfer_model.hardware.devices import choose_device, precision
from dfer_model.inference.prediction import Prediction, predict_video
from dfer_model.inference.trained_model import TrainedModel, load_model, load_trained

from ..errors import InputError
from ..runs import Run
from ..settings import Settings
from .model_file import WEIGHTS, read_model_file


class PretrainedModel:
    """A model in eval mode on its device, with the names of its classes."""

    def __init__(self, run: Run, model: TrainedModel, device: torch.device) -> None:
        self.class_names = run.class_names  # in the order of the logits
        self.descriptions = run.texts  # what it was given of each class
        self.settings: Settings = run.settings
        self.trained_on = str((run.config.get("dataset") or {}).get("name", ""))
        self.image_size = model.image_size  # pixels, both sides
        self.temperature = model.temperature  # softmax(logits / temperature) are its probabilities
        self.model, self.device = model, device

    def predict(self, video: Path | str) -> Prediction:
        """What it says of a video file, whose frames are taken as in a test.

        Raises InputError when the video cannot be read.
        """
        return predict_video(self.model, self.class_names, Path(video), self.settings, self.device)

    def logits(self, frames: Tensor) -> Tensor:
        """uint8 frames (clips, T, 3, image_size, image_size) -> logits (clips, classes), on the CPU."""
        with torch.inference_mode(), precision(self.settings.precision, self.device):
            answer: Tensor = self.model(frames.to(self.device)).float().cpu()
        return answer


def load_pretrained(place: Path, device: str | None = None) -> PretrainedModel:
    """The model in a run's folder, in an exported safetensors file, or in a folder that holds such a file.

    Raises InputError when there is none, or it is not finished, damaged, or does not fit what it says it is.
    """
    where = choose_device(device)
    if (place / "config.yaml").is_file():
        run = Run.open(place)
        return PretrainedModel(run, load_trained(run, where), where)
    if place.is_dir() and not (place / WEIGHTS).is_file():
        raise InputError(f"{place} holds no model: neither a run's config.yaml nor {WEIGHTS}")
    path = place / WEIGHTS if place.is_dir() else place
    run = read_model_file(path)
    model = load_model(run, path, where)
    model.temperature = run.config["temperature"]
    return PretrainedModel(run, model, where)
