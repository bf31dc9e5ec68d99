"""A linear head on CLIP's image tower: a linear probe where the tower is frozen, else fine-tuning.

The texts are not read: a class is a row of the head, as in the linear probes of CLIP (arXiv 2103.00020) and
in the paper's Table 2 (arXiv 2308.13382), there on the feature that the image tower shares with the text
tower.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfer_model.config import ModelSettings

from .clip import Clip
from .dfer_clip import VideoClassifier


class LinearHead(VideoClassifier):
    """frames -> frame features -> temporal model or mean -> video feature -> linear layer -> logits.

    New parts are drawn with torch's random state as it is: seed it first.
    """

    def __init__(self, clip: Clip, classes: int, settings: ModelSettings):
        super().__init__(clip, settings)
        self.head = nn.Linear(clip.embed_dim, classes)
        self.train()

    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:  # noqa: ARG002 - has none
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes); class weights are not used."""
        video = self.video_features(self.frame_features(frames))  # (clips, width)
        logits: Tensor = self.head(video)
        return logits.float()

    def class_weights(self) -> Tensor:
        """Empty: a linear head has no texts."""
        return torch.empty(0)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """`image`, `temporal` and `head`."""
        return {**super().trained_parameters(), "head": list(self.head.parameters())}
