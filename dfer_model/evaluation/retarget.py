"""A trained model for other classes: the same image tower, temporal model and contexts, other texts.

CLIP's text tower encodes a description without training on its class. A run trained on seven classes can
therefore predict eleven, if all classes share their contexts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dfer_model.checkpoints import read_weights
from dfer_model.config import Settings
from dfer_model.data.loaders import pixel_scale
from dfer_model.devices import inference_precision
from dfer_model.errors import InputError
from dfer_model.models.classifier import Classifier
from dfer_model.models.strategies import load_base
from dfer_model.runs import ClassTexts, Run

from .trained_model import TrainedModel, check_before_building

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
    base = load_base(run.settings.model_copy(update={"gradient_checkpointing": False}))
    if base.sha256 != run.config.get("clip", {}).get("sha256"):
        raise InputError(
            f"the weights of {run.settings.clip} {run.settings.weights} are not those that {run.id} was "
            "initialised from\nNew texts need the same CLIP; restore its weights"
        )
    model = base.build(texts.texts, texts.class_names)
    _load_trained_parts(run, model)
    model.to(device).eval()
    with torch.no_grad(), inference_precision(run.settings.precision, device):
        class_weights = model.class_weights()
    scale = pixel_scale(run.settings.normalize, base.mean, base.std)
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
