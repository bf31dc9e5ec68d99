"""C3D: "Learning Spatiotemporal Features with 3D Convolutional Networks" (Tran et al. 2015, arXiv 1412.0767).

Eight convolutions of 3x3x3, five max pools and two fully connected layers of 4096; no normalisation. Layer
names and pooling of odd sizes (rounded up) are those of the released network. The paper uses 16 frames of
112x112, which are pooled to one time step; with more frames, each remaining step has its own feature.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

WIDTH = 4096


def _conv(inside: int, outside: int) -> nn.Conv3d:
    return nn.Conv3d(inside, outside, 3, padding=1)


class C3D(nn.Module):
    """Volumes (clips, 3, T, 112, 112), T >= 1 -> features (clips, ceil(T / 16), 4096)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(3, 64)
        self.conv2 = _conv(64, 128)
        self.conv3a = _conv(128, 256)
        self.conv3b = _conv(256, 256)
        self.conv4a = _conv(256, 512)
        self.conv4b = _conv(512, 512)
        self.conv5a = _conv(512, 512)
        self.conv5b = _conv(512, 512)
        self.fc6 = nn.Linear(512 * 4 * 4, WIDTH)
        self.fc7 = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.5)
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.Linear)) and module.bias is not None:
                # With the paper's N(0, 0.01), training from scratch hardly starts: without normalisation,
                # the scale of the weights must preserve the signal (arXiv 1502.01852).
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class; shapes below are those of 16 frames."""
        x = F.max_pool3d(self.conv1(x).relu(), (1, 2, 2))  # (clips, 64, 16, 56, 56)
        x = F.max_pool3d(self.conv2(x).relu(), 2, ceil_mode=True)  # (clips, 128, 8, 28, 28)
        x = self.conv3b(self.conv3a(x).relu()).relu()
        x = F.max_pool3d(x, 2, ceil_mode=True)  # (clips, 256, 4, 14, 14)
        x = self.conv4b(self.conv4a(x).relu()).relu()
        x = F.max_pool3d(x, 2, ceil_mode=True)  # (clips, 512, 2, 7, 7)
        x = self.conv5b(self.conv5a(x).relu()).relu()
        x = F.max_pool3d(x, 2, ceil_mode=True)  # (clips, 512, 1, 4, 4)
        steps = x.transpose(1, 2).flatten(2)  # (clips, 1, 8192), channels first
        steps = self.dropout(self.fc6(steps).relu())
        features: Tensor = self.dropout(self.fc7(steps).relu())  # (clips, 1, 4096)
        return features
