"""A model that answers: its class weights are fixed, and uint8 frames go in as they come."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dfer_model.checkpoints import load_weights
from dfer_model.classifiers.classifier import Classifier
from dfer_model.classifiers.strategies import load_base
from dfer_model.errors import InputError
from dfer_model.feeding.batches import PixelScale, pixel_scale
from dfer_model.runs import Run

from .calibration import read_calibration


class TrainedModel(nn.Module):
    """A classifier with its class weights read once, for DFER-CLIP in place of its text tower."""

    class_weights: Tensor

    def __init__(self, model: Classifier, class_weights: Tensor, scale: PixelScale, image_size: int) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.image_size = image_size  # pixels, both sides
        self.temperature = 1.0  # what logits are divided by for probabilities; 1 where nothing was calibrated
        self.register_buffer("class_weights", class_weights.detach())

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 frames (clips, T, 3, H, W) -> logits (clips, classes)."""
        logits: Tensor = self.model(self.scale(frames), self.class_weights)
        return logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (..., classes) -> probabilities, calibrated where the run is; their order is the same."""
        return (logits / self.temperature).softmax(dim=-1)


class _NoTextTower(nn.Module):
    """Stands where the run kept no text tower: better no class weights from it than wrong ones."""

    def forward(self, *_: Tensor) -> Tensor:
        raise RuntimeError("a finished run keeps its class weights in place of a text tower")


def load_trained(run: Run, device: torch.device) -> TrainedModel:
    """The model of a finished run, on `device` and in eval mode; no CLIP weights are needed beside the run's.

    Its probabilities are calibrated where the run is (`calibration.json`); its logits never are.

    Raises InputError when the run is not finished, or its files are damaged or do not fit each other.
    """
    run.require_finished()
    model = load_model(run, run.checked("model.safetensors"), device)
    calibrated = read_calibration(run)
    if calibrated is not None:
        model.temperature = calibrated.temperature
    return model


def load_model(run: Run, weights: Path, device: torch.device) -> TrainedModel:
    """The model that `run` describes with the weights in the file, whether or not the run's folder is here.

    Raises InputError when the file is missing or damaged, or does not fit what the run says.
    """
    try:
        recorded = run.config["clip"]
        mean, std, image_size = (recorded[key] for key in ("mean", "std", "image_size"))
        scale = pixel_scale(run.settings.normalize, tuple(mean), tuple(std))
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{run.folder / 'config.yaml'} does not say what images its CLIP takes") from error
    base = load_base(run.settings.model_copy(update={"weights": "random", "gradient_checkpointing": False}))
    model = base.build(run.texts.texts, run.class_names)
    class_weights = load_weights(weights, model)
    for name in model.left_out:
        model.add_module(name, _NoTextTower())
    return TrainedModel(model, class_weights, scale, int(image_size)).to(device).eval()
