"""From settings to a model: which strategy makes it, on what it stands, and what frames it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .classifier import Classifier
from .clip import clip_identity, load_clip
from .dfer_clip import DferClip
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
    """Read what the settings' model is built on. Raises InputError as `load_clip` does."""
    clip = load_clip(settings.clip, settings.weights)

    def build(texts: Texts, class_names: Sequence[str]) -> Classifier:
        return DferClip(clip, texts, settings, class_names=class_names)

    return Base(clip_identity(clip), clip.image_size, clip.mean, clip.std, build)
