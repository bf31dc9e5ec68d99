"""The common structure of the video networks: features over time, a temporal model, a linear head.

    frames -> image network -> features (clips, steps, width) -> temporal model, or mean -> head -> logits

A 2D network gives one feature per frame; a 3D network pools over time and gives one or a few.
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
    """A 2D network, (images, 3, H, W) to (images, width), applied to each frame."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (clips, T, 3, H, W) -> (clips, T, width)."""
        features: Tensor = self.network(frames.flatten(0, 1))
        return features.view(*frames.shape[:2], -1)


class LastState(nn.LSTM):
    """An LSTM of `depth` layers as wide as its input; the output is its last layer's last state."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, width, num_layers=depth, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """(clips, steps, width) -> (clips, width)."""
        states: Tensor = super().forward(features)[0]
        return states[:, -1]


class VideoNetwork(Classifier):
    """`image` and `temporal` (None: the mean over time) under dropout and a head for `classes` classes.

    BatchNorm uses batch statistics, as usual: a randomly initialised network needs them. They are computed
    over clips, frames and positions, so that a batch of one clip is enough.
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
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes); `class_weights` is ignored."""
        logits: Tensor = self.head(self.dropout(self.video_features(frames)))
        return logits

    def video_features(self, frames: Tensor) -> Tensor:
        """Normalised frames (clips, T, 3, H, W) -> the input of the head (clips, width)."""
        features = self.image(frames)  # (clips, steps, width)
        video: Tensor = features.mean(dim=1) if self.temporal is None else self.temporal(features)
        return video

    def class_weights(self) -> Tensor:
        """Empty, (0,): no text is used."""
        return torch.empty(0, device=self.head.weight.device)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parts `image`, `temporal` and `head`; a part that does not exist is empty."""
        return {
            "image": list(self.image.parameters()) if self.trains_image else [],
            "temporal": [] if self.temporal is None else list(self.temporal.parameters()),
            "head": list(self.head.parameters()),
        }

    def train(self, mode: bool = True) -> Self:
        """As in torch, but a frozen image network stays in eval mode, including its BatchNorm."""
        super().train(mode)
        if not self.trains_image:
            self.image.eval()
        return self
