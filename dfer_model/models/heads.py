"""A linear head on CLIP's image tower: a linear probe if the tower is frozen, otherwise fine-tuning.

Texts are not used: a class is a row of the head, as in the linear probes of CLIP (arXiv 2103.00020) and of
the paper's Table 2 (arXiv 2308.13382). The input is the feature in the space shared with the text tower.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfer_model.config import ModelSettings

from .clip import Clip
from .dfer_clip import VideoClassifier


class LinearHead(VideoClassifier):
    """frames -> frame features -> temporal model or mean -> video feature -> linear layer -> logits.

    New parts are drawn from torch's current random state: seed it first.
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
        """Empty: a linear head uses no texts."""
        return torch.empty(0)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """`image`, `temporal` and `head`."""
        return {**super().trained_parameters(), "head": list(self.head.parameters())}
