"""What training, evaluation and prediction ask of a model, by whichever strategy it was made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Classifier(nn.Module):
    """Normalised frames in, logits out. What it needs of the class texts can be read once and given back."""

    left_out: tuple[str, ...] = ()
    """Submodules that a finished run does not keep, since `class_weights` holds all that they say."""

    @abstractmethod
    def class_weights(self) -> Tensor:
        """What `forward` needs of the class texts: the same for all clips; empty where there is nothing."""

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
