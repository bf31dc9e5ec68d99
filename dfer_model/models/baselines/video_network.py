"""The classifier that every video network here is: features over time, a temporal model, a linear head.

    frames -> image network -> features (clips, steps, width) -> temporal model, or mean -> head -> logits

A 2D network gives a feature per frame; a 3D network has mixed time already and gives one, or few.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from dfer_model.models.classifier import Classifier


class Volumes(nn.Module):
    """A 3D network, (clips, 3, T, H, W) to (clips, width) or (clips, steps, width), on frames."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (clips, T, 3, H, W) -> (clips, steps, width)."""
        features: Tensor = self.network(frames.transpose(1, 2))
        return features[:, None] if features.dim() == 2 else features


class EachFrame(nn.Module):
    """A 2D network, (images, 3, H, W) to (images, width), on each frame by itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (clips, T, 3, H, W) -> (clips, T, width)."""
        features: Tensor = self.network(frames.flatten(0, 1))
        return features.view(*frames.shape[:2], -1)


class LastState(nn.LSTM):
    """An LSTM of `depth` layers as wide as its input, which answers with its last layer's last state."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, width, num_layers=depth, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """(clips, steps, width) -> (clips, width)."""
        states: Tensor = super().forward(features)[0]
        return states[:, -1]


class VideoNetwork(Classifier):
    """`image` and `temporal` (None: the mean over time) under dropout and a head for `classes` classes.

    BatchNorm learns the statistics of its batches, as usual: a network that begins at random cannot do
    without. They are taken over clips, frames and places, so that a batch of one clip is enough.
    """

    def __init__(
        self,
        image: Volumes | EachFrame,
        temporal: nn.Module | None,
        width: int,
        classes: int,
        *,
        dropout: float = 0.0,
        trains_image: bool = True,
    ) -> None:
        super().__init__()
        self.trains_image = trains_image
        self.image = image
        self.image.requires_grad_(trains_image)
        self.temporal = temporal
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)
        self.train()

    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes); `class_weights` say nothing."""
        features = self.image(frames)  # (clips, steps, width)
        video = features.mean(dim=1) if self.temporal is None else self.temporal(features)  # (clips, width)
        logits: Tensor = self.head(self.dropout(video))
        return logits

    def class_weights(self) -> Tensor:
        """Nothing, for no text is read: (0,)."""
        return torch.empty(0, device=self.head.weight.device)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """What an optimiser may change: `image`, `temporal`, `head`; a part that is not there is empty."""
        return {
            "image": list(self.image.parameters()) if self.trains_image else [],
            "temporal": [] if self.temporal is None else list(self.temporal.parameters()),
            "head": list(self.head.parameters()),
        }

    def train(self, mode: bool = True) -> Self:
        """As torch's, but an image network that is frozen stays in eval mode, BatchNorm and all."""
        super().train(mode)
        if not self.trains_image:
            self.image.eval()
        return self
