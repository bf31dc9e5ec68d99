"""Building a model from settings: the strategy, its pretrained base, and its input format."""

from __future__ import annotations

from collections.abc import Sequence

from dfer_model.config import ModelSettings
from dfer_model.errors import InputError

from .baselines import network_base
from .classifier import Base, Classifier, Texts
from .clip import clip_identity, load_clip
from .cocoop import CoCoOp
from .dfer_clip import DferClip, VideoClassifier
from .heads import LinearHead
from .lora import adapt


def load_base(settings: ModelSettings) -> Base:
    """Load the pretrained base of the settings' model.

    Raises InputError as `load_clip` does, and for settings that its classifier does not support.
    """
    _refuse_contradictions(settings)
    if not settings.uses_clip:
        return network_base(settings)
    clip = load_clip(settings.clip, settings.weights)

    def build(texts: Texts, class_names: Sequence[str]) -> Classifier:
        model: VideoClassifier
        if settings.classifier == "linear":
            model = LinearHead(clip, len(texts), settings)
        else:
            prompted = CoCoOp if settings.classifier == "cocoop" else DferClip
            model = prompted(clip, texts, settings, class_names=class_names)
        adapt(model, settings)
        return model

    return Base(clip_identity(clip), clip.image_size, clip.mean, clip.std, build)


def _refuse_contradictions(settings: ModelSettings) -> None:
    """Every preset sets contexts and position, so classifiers without prompts ignore these two."""
    prompted = settings.classifier in ("dfer-clip", "cocoop")
    for key in ("ensemble", "member_contexts", "learned_temperature"):
        value = getattr(settings, key)
        if not prompted and value != ModelSettings.model_fields[key].default:
            raise InputError(
                f"setting {key}={value} requires prompts; classifier={settings.classifier} has none\n"
                f"Leave {key} at its default, or set classifier=dfer-clip"
            )
    if settings.member_contexts == "own" and settings.context_kind == "unified":
        raise InputError(
            "setting member_contexts=own contradicts context_kind=unified, where all classes share contexts\n"
            "Set context_kind=class-specific, or leave member_contexts=shared"
        )
    if settings.classifier == "cocoop" and settings.contexts == 0:
        raise InputError(
            "classifier=cocoop requires contexts, but contexts=0\n"
            "Set contexts=4, as in its paper, or another number above 0"
        )
