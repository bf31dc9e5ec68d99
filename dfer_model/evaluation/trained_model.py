"""A trained model for inference: fixed class weights, uint8 frames as input.

`retexted` gives a trained model other classes: the image tower, temporal model and contexts stay, the texts
change. CLIP's text tower encodes a description without training on its class, so a run trained on seven
classes can predict eleven, if all classes share their contexts.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from dfer_model.checkpoints import load_weights, read_weights, weight_shapes
from dfer_model.config import Settings
from dfer_model.data.loaders import PixelScale, pixel_scale
from dfer_model.devices import autocast_format, inference_precision
from dfer_model.errors import InputError
from dfer_model.models.classifier import Base, Classifier
from dfer_model.models.clip import image_tower_size
from dfer_model.models.strategies import load_base
from dfer_model.run_config import images_in
from dfer_model.runs import ClassTexts, Run

from .calibration import read_calibration


class TrainedModel(nn.Module):
    """A classifier with fixed class weights, which for DFER-CLIP replace the text tower."""

    class_weights: Tensor

    def __init__(self, model: Classifier, class_weights: Tensor, scale: PixelScale, image_size: int) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.image_size = image_size  # pixels, both sides
        self.temperature = 1.0  # divides the logits for probabilities; 1 without calibration
        self.register_buffer("class_weights", class_weights.detach())

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 frames (clips, T, 3, H, W) -> logits (clips, classes)."""
        pixels = self.scale(frames, autocast_format(frames.device))
        logits: Tensor = self.model(pixels, self.class_weights)
        return logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (..., classes) -> probabilities, calibrated if the run is; their order is the same."""
        return (logits / self.temperature).softmax(dim=-1)


class _NoTextTower(nn.Module):
    """Replaces the text tower, which a run does not store, so that it cannot give wrong class weights."""

    def forward(self, *_: Tensor) -> Tensor:
        raise RuntimeError("a finished run stores its class weights instead of a text tower")


def load_trained(run: Run, device: torch.device) -> TrainedModel:
    """The model of a finished run, on `device` and in eval mode; no other CLIP weights are needed.

    Its probabilities are calibrated if the run is (`calibration.json`); its logits are not.

    Raises InputError when the run is not finished, or its files are damaged or do not fit each other.
    """
    run.require_finished()
    model = load_model(run, run.checked("model.safetensors"), device)
    calibrated = read_calibration(run)
    if calibrated is not None:
        model.temperature = calibrated.temperature
    return model


def check_before_building(run: Run, weights: Path) -> None:
    """Raises InputError if the header of the weights shows that they are not of the model `run` describes.

    Only the header is read, so that a config with a CLIP of 20 GB or a million texts is rejected first.
    """
    shapes = weight_shapes(weights)
    settings = run.settings
    prompts = shapes.get("prompt_learner.embeddings")
    if settings.uses_texts and (prompts is None or prompts[0] != sum(map(len, run.texts.texts))):
        raise InputError(
            f"{weights} does not fit the model that the run describes: the number of prompts "
            "and of the run's texts differ"
        )
    held = sum(prod(shape) for name, shape in shapes.items() if name.startswith("image_tower."))
    # LoRA only adds parameters to a tower.
    if settings.uses_clip and held < image_tower_size(settings.clip):
        raise InputError(
            f"{weights} does not fit the model that the run's config.yaml describes: its image tower "
            f"has {held} parameters, fewer than that of {settings.clip}"
        )


def load_model(run: Run, weights: Path, device: torch.device) -> TrainedModel:
    """The model that `run` describes with the weights in the file; the run's folder need not exist.

    Raises InputError if the file is missing or damaged, or does not fit the run's config.
    """
    where = run.folder if run.folder == weights else run.folder / "config.yaml"
    images = images_in(run.config, where)
    scale = pixel_scale(run.settings.normalize, images.mean, images.std)
    check_before_building(run, weights)
    base = load_base(
        run.settings.model_copy(
            update={"weights": "random", "gradient_checkpointing": False, "compile": "off"}
        )
    )
    if base.image_size != images.image_size:
        raise InputError(
            f"{where}: image_size is {images.image_size}, but {run.settings.clip} takes {base.image_size}"
        )
    model = base.build(run.texts.texts, run.class_names)
    class_weights = load_weights(weights, model)
    if tuple(class_weights.shape) != model.class_weights_shape():
        raise InputError(
            f"{weights}: class_weights is {tuple(class_weights.shape)}, but the run's model has "
            f"{model.class_weights_shape()}"
        )
    for name in model.left_out:
        model.add_module(name, _NoTextTower())
    return TrainedModel(model, class_weights, scale, images.image_size).to(device).eval()


# The only tensor of a finished run that depends on its texts: the token embeddings of its prompts.
OF_THE_TEXTS = "prompt_learner.embeddings"
READ_TEXTS = ("dfer-clip", "cocoop")


def require_retextable(settings: Settings) -> None:
    """Raise InputError for settings whose trained model cannot be given other classes by their texts."""
    if settings.classifier not in READ_TEXTS:
        raise InputError(
            f"a {settings.classifier} classifier reads no texts, so it cannot predict other classes\n"
            "Take --strategy dfer-clip, coop or cocoop"
        )
    if settings.contexts and settings.context_kind == "class-specific":
        raise InputError(
            "class-specific contexts cannot be used for other classes\n"
            "Train with --set context_kind=unified or --set contexts=0"
        )


def retexted(run: Run, texts: ClassTexts, device: torch.device) -> TrainedModel:
    """The model of a finished run for the classes of `texts`, on `device` and in eval mode.

    The run's CLIP is loaded again, because a run stores no text tower. Raises InputError for a run
    whose settings do not allow it (see `require_retextable`) or whose files are damaged, for texts that do
    not fit, and for a CLIP with other weights than the run was initialised from.
    """
    run.require_finished()
    require_retextable(run.settings)
    check_before_building(run, run.folder / "model.safetensors")
    base = load_base(run.settings.model_copy(update={"gradient_checkpointing": False, "compile": "off"}))
    if base.sha256 != run.config.get("clip", {}).get("sha256"):
        raise InputError(
            f"the weights of {run.settings.clip} {run.settings.weights} are not those that {run.id} was "
            "initialised from\nNew texts need the same CLIP; restore its weights"
        )
    model = base.build(texts.texts, texts.class_names)
    _load_trained_parts(run, model)
    return with_class_weights(model, base, run.settings, device)


def with_class_weights(
    model: Classifier, base: Base, settings: Settings, device: torch.device
) -> TrainedModel:
    """`model`, built on `base`, with the class weights of its texts, on `device` and in eval mode."""
    model.to(device).eval()
    with torch.no_grad(), inference_precision(settings.precision, device):
        class_weights = model.class_weights()
    scale = pixel_scale(settings.normalize, base.mean, base.std)
    return TrainedModel(model, class_weights, scale, base.image_size).to(device).eval()


def _load_trained_parts(run: Run, model: Classifier) -> None:
    """Load the run's trained tensors into `model`; those that depend on its texts are not loaded."""
    path = run.checked("model.safetensors")
    tensors, _ = read_weights(path)
    learned: dict[str, Tensor] = {name: value for name, value in tensors.items() if name != OF_THE_TEXTS}
    own = model.state_dict()
    if any(name not in own or own[name].shape != value.shape for name, value in learned.items()):
        raise InputError(f"{path} does not fit the model that the run's config.yaml describes")
    model.load_state_dict(learned, strict=False)
