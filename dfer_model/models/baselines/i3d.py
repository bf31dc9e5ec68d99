"""I3D: "Quo Vadis, Action Recognition?" (Carreira and Zisserman 2017, arXiv 1705.07750), the RGB stream.

Inception-v1 (arXiv 1409.4842) with every filter and pool inflated to three dimensions and a BatchNorm after
each convolution. Padding is TensorFlow's SAME, with an odd remainder at the end. Layers have the names of the
PyTorch port (pytorch-i3d), so that its Kinetics weights (`rgb_imagenet.pt`) can be loaded.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

Three = tuple[int, int, int]
WIDTH = 1024


def pad_same(x: Tensor, kernel: Three, stride: Three) -> Tensor:
    """Pad (clips, channels, T, H, W) with zeros, so that pooling maps each size n to ceil(n / stride)."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        missing = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)


class Convolution(nn.Module):
    """A convolution with SAME padding, BatchNorm and ReLU."""

    def __init__(self, inside: int, outside: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inside, outside, self.kernel, stride=self.stride, bias=False)
        self.bn = nn.BatchNorm3d(outside, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, inside, T, H, W) -> (clips, outside, T / stride, H / stride, W / stride), rounded up."""
        made: Tensor = self.bn(self.conv3d(pad_same(x, self.kernel, self.stride)))
        return made.relu()


class Pool(nn.Module):
    """A max pool with SAME padding, for values >= 0 after a ReLU."""

    def __init__(self, kernel: Three, stride: Three) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(clips, channels, T, H, W) -> each size divided by its stride, rounded up."""
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception module of parallel branches: 1x1x1; twice 1x1x1 and 3x3x3; a pool and 1x1x1."""

    def __init__(self, inside: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Convolution(inside, b0, 1)
        self.b1a = Convolution(inside, b1a, 1)
        self.b1b = Convolution(b1a, b1b, 3)
        self.b2a = Convolution(inside, b2a, 1)
        self.b2b = Convolution(b2a, b2b, 3)
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Convolution(inside, b3b, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, inside, T, H, W) -> (clips, b0 + b1b + b2b + b3b, T, H, W)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


class I3D(nn.Sequential):
    """Volumes (clips, 3, T, H, W), T >= 1, H and W >= 32 -> features (clips, max(ceil(T / 8) - 1, 1), 1024).

    As in the original, the average pool has a window of two time steps, if there are two.
    """

    def __init__(self) -> None:
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Convolution(3, 64, 7, stride=2),
            "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Convolution(64, 64, 1),
            "Conv3d_2c_3x3": Convolution(64, 192, 3),
            "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Mixed_3b": Mixed(192, (64, 96, 128, 16, 32, 32)),
            "Mixed_3c": Mixed(256, (128, 128, 192, 32, 96, 64)),
            "MaxPool3d_4a_3x3": Pool((3, 3, 3), (2, 2, 2)),
            "Mixed_4b": Mixed(480, (192, 96, 208, 16, 48, 64)),
            "Mixed_4c": Mixed(512, (160, 112, 224, 24, 64, 64)),
            "Mixed_4d": Mixed(512, (128, 128, 256, 24, 64, 64)),
            "Mixed_4e": Mixed(512, (112, 144, 288, 32, 64, 64)),
            "Mixed_4f": Mixed(528, (256, 160, 320, 32, 128, 128)),
            "MaxPool3d_5a_2x2": Pool((2, 2, 2), (2, 2, 2)),
            "Mixed_5b": Mixed(832, (256, 160, 320, 32, 128, 128)),
            "Mixed_5c": Mixed(832, (384, 192, 384, 48, 128, 128)),
        }
        super().__init__(OrderedDict(layers))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """See the class; 16 frames of 224x224 are (clips, 1024, 2, 7, 7) before the average."""
        for layer in self:
            x = layer(x)
        x = x.mean(dim=(3, 4))  # (clips, 1024, steps)
        return F.avg_pool1d(x, min(2, x.shape[2]), stride=1).transpose(1, 2)
