"""From settings to a model: which strategy makes it, on what it stands, and what frames it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .adapting import adapt
from .classifier import Classifier
from .clip import clip_identity, load_clip
from .cocoop import CoCoOp
from .dfer_clip import DferClip, VideoClassifier
from .errors import InputError
from .heads import LinearHead
from .settings import ModelSettings

Texts = Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Base:
    """What a classifier is built on: pretrained weights, and the frames that they take."""

    sha256: str  # over all weights, equal for equal weights of any file
    image_size: int  # pixels, both sides
    mean: tuple[float, float, float]  # of pixels in 0..1, per channel
    std: tuple[float, float, float]
    build: Callable[[Texts, Sequence[str]], Classifier]
    """From texts, in label order a list each, and class names to a model whose new parts are drawn with
    torch's random state as it is: seed it first. Raises InputError for texts that do not fit."""


def load_base(settings: ModelSettings) -> Base:
    """Read what the settings' model is built on.

    Raises InputError as `load_clip` does, and for settings that mean nothing to its classifier.
    """
    _refuse_contradictions(settings)
    if not settings.uses_clip:
        from .networks import network_base  # which makes a Base, and so imports this module

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
    """Contexts and their position, which every preset has, are left unread where there are no prompts."""
    prompted = settings.classifier in ("dfer-clip", "cocoop")
    for key in ("ensemble", "member_contexts", "learned_temperature"):
        value = getattr(settings, key)
        if not prompted and value != ModelSettings.model_fields[key].default:
            raise InputError(
                f"setting {key}={value} means nothing to classifier={settings.classifier}, which has no "
                f"prompts\nLeave {key} as it is by default, or set classifier=dfer-clip"
            )
    if settings.member_contexts == "own" and settings.context_kind == "unified":
        raise InputError(
            "setting member_contexts=own contradicts context_kind=unified, by which all share theirs\n"
            "Set context_kind=class-specific, or leave member_contexts=shared"
        )
    if settings.classifier == "cocoop" and settings.contexts == 0:
        raise InputError(
            "classifier=cocoop moves its contexts by the clip, and contexts=0 leaves none\n"
            "Set contexts to 4, as in its paper, or another number above 0"
        )
