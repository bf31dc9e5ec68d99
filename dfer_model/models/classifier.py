"""What training, evaluation and prediction ask of a model, whichever strategy made it, and its base."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

Texts = Sequence[Sequence[str]]


class Classifier(nn.Module):
    """Normalised frames in, logits out. What it needs of the class texts can be read once and given back."""

    left_out: tuple[str, ...] = ()
    """Submodules that a finished run does not keep, since `class_weights` holds all that they say."""

    @abstractmethod
    def class_weights(self) -> Tensor:
        """What `forward` needs of the class texts: the same for all clips; empty where there is nothing."""

    def class_weights_shape(self) -> tuple[int, ...]:
        """The shape of what `class_weights` gives, without the text tower: (0,) where it is empty."""
        return (0,)

    @abstractmethod
    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes).

        `class_weights` are those that an earlier call of `class_weights` returned; None reads them anew, as
        training must.
        """

    @abstractmethod
    def trained_parameters(self) -> Mapping[str, list[nn.Parameter]]:
        """What an optimiser may change, by the part whose learning rate is the setting `lr_<part>`.

        A part that is not there is empty.
        """


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
