"""The interface of all classifiers, used by training, evaluation and prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

Texts = Sequence[Sequence[str]]


class Classifier(nn.Module):
    """Maps normalised frames to logits. The features of the class texts can be computed once and reused."""

    left_out: tuple[str, ...] = ()
    """Submodules that a finished run does not store, because `class_weights` replaces them."""

    @abstractmethod
    def class_weights(self) -> Tensor:
        """The features of the class texts for `forward`, the same for all clips; empty if there are none."""

    def class_weights_shape(self) -> tuple[int, ...]:
        """The shape of `class_weights`, without running the text tower; (0,) if empty."""
        return (0,)

    @abstractmethod
    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes).

        `class_weights` is the result of an earlier call of `class_weights`; None computes it, as training
        must.
        """

    @abstractmethod
    def trained_parameters(self) -> Mapping[str, list[nn.Parameter]]:
        """Trainable parameters by part; the learning rate of a part is the setting `lr_<part>`.

        A part that the classifier does not have is empty.
        """


@dataclass(frozen=True, eq=False)
class Base:
    """What a classifier is built on: pretrained weights, and the input format that they require."""

    sha256: str  # over all weights, equal for equal weights of any file
    image_size: int  # pixels, both sides
    mean: tuple[float, float, float]  # of pixels in 0..1, per channel
    std: tuple[float, float, float]
    build: Callable[[Texts, Sequence[str]], Classifier]
    """Builds the model from texts (a list per class, in label order) and class names. New parts are drawn
    from torch's current random state: seed it first. Raises InputError for texts that do not fit."""
