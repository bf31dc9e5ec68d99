"""The video networks C3D, I3D and P3D.

C3D: "Learning Spatiotemporal Features with 3D Convolutional Networks" (Tran et al. 2015, arXiv 1412.0767).

Eight convolutions of 3x3x3, five max pools and two fully connected layers of 4096; no normalisation. Layer
names and pooling of odd sizes (rounded up) are those of the released network. The paper uses 16 frames of
112x112, which are pooled to one time step; with more frames, each remaining step has its own feature.

I3D: "Quo Vadis, Action Recognition?" (Carreira and Zisserman 2017, arXiv 1705.07750), the RGB stream.

Inception-v1 (arXiv 1409.4842) with every filter and pool inflated to three dimensions and a BatchNorm after
each convolution. Padding is TensorFlow's SAME, with an odd remainder at the end. Layers have the names of the
PyTorch port (pytorch-i3d), so that its Kinetics weights (`rgb_imagenet.pt`) can be loaded.

P3D: "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks" (Qiu et al. 2017).

arXiv 1711.10305. A bottleneck ResNet whose 3x3 convolution is replaced by a spatial one S of 1x3x3 and a
temporal one T of 3x1x1, combined in three ways that alternate from unit to unit:

    A: T(S(x)), in series    B: S(x) + T(x), in parallel    C: S(x) + T(S(x)), in series with a shortcut

As in the released network, a max pool halves time after the stem and after each of the first three stages,
and the last stage is spatial. This is P3D-63, a ResNet-50 (3, 4, 6 and 3 units) with 13 more
convolutions; the paper's best is P3D-199, the same on a ResNet-152 (3, 8, 36, 3).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import cycle
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

C3D_WIDTH = 4096


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
        self.fc6 = nn.Linear(512 * 4 * 4, C3D_WIDTH)
        self.fc7 = nn.Linear(C3D_WIDTH, C3D_WIDTH)
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


Three = tuple[int, int, int]
I3D_WIDTH = 1024


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


Kind = Literal["A", "B", "C", "2D"]
STAGES = (3, 4, 6, 3)
PLANES = (64, 128, 256, 512)
EXPANSION = 4
P3D_WIDTH = PLANES[-1] * EXPANSION


def _convolution(inside: int, outside: int, kernel: tuple[int, int, int], stride: int = 1) -> nn.Sequential:
    """A convolution with padding (size changes only by the spatial stride), and its BatchNorm."""
    time, height, width = kernel
    return nn.Sequential(
        nn.Conv3d(
            inside,
            outside,
            kernel,
            stride=(1, stride, stride),
            padding=(time // 2, height // 2, width // 2),
            bias=False,
        ),
        nn.BatchNorm3d(outside),
    )


class Unit(nn.Module):
    """A residual unit: 1x1x1 to `planes`, S and T by `kind` (`2D`: S only), 1x1x1 to 4 * `planes`."""

    def __init__(self, inside: int, planes: int, kind: Kind, stride: int = 1) -> None:
        super().__init__()
        self.kind = kind
        outside = planes * EXPANSION
        self.reduce = _convolution(inside, planes, (1, 1, 1), stride)
        self.spatial = _convolution(planes, planes, (1, 3, 3))
        self.temporal = _convolution(planes, planes, (3, 1, 1)) if kind != "2D" else None
        self.expand = _convolution(planes, outside, (1, 1, 1))
        self.shortcut = _convolution(inside, outside, (1, 1, 1), stride) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        """(clips, inside, T, H, W) -> (clips, 4 * planes, T, H / stride, W / stride)."""
        residual = x if self.shortcut is None else self.shortcut(x)
        mixed: Tensor = residual + self.expand(self.space_and_time(self.reduce(x).relu()))
        return mixed.relu()

    def space_and_time(self, x: Tensor) -> Tensor:
        """The middle of the unit, of the same shape: see the module docstring."""
        space: Tensor = self.spatial(x).relu()
        if self.temporal is None:
            return space
        time: Tensor = self.temporal(x if self.kind == "B" else space).relu()
        return time if self.kind == "A" else space + time


class P3D(nn.Module):
    """Volumes (clips, 3, T, H, W), T >= 1, H and W >= 32 -> features (clips, ceil(T / 16), 2048)."""

    def __init__(self, stages: tuple[int, int, int, int] = STAGES) -> None:
        super().__init__()
        self.stem = _convolution(3, 64, (1, 7, 7), stride=2)
        kinds: Iterator[Kind] = cycle(("A", "B", "C"))
        made: list[nn.Sequential] = []
        inside = 64
        for number, (units, planes) in enumerate(zip(stages, PLANES, strict=True)):
            stage: list[Unit] = []
            for unit in range(units):
                kind: Kind = next(kinds) if number < 3 else "2D"
                stage.append(Unit(inside, planes, kind, stride=2 if number and not unit else 1))
                inside = planes * EXPANSION
            made.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(made)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """See the class; shapes below are those of 16 frames of 160x160."""
        x = self.stem(x).relu()  # (clips, 64, 16, 80, 80)
        x = F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        x = _halve_time(x)  # (clips, 64, 8, 40, 40)
        for stage in list(self.stages)[:3]:
            x = _halve_time(stage(x))  # (clips, 1024, 1, 10, 10) after the third
        x = self.stages[3](x)  # (clips, 2048, 1, 5, 5)
        return x.mean(dim=(3, 4)).transpose(1, 2)  # (clips, 1, 2048)


def _halve_time(x: Tensor) -> Tensor:
    """A max pool over pairs of time steps; an odd one at the end is pooled alone."""
    return F.max_pool3d(x, (2, 1, 1), ceil_mode=True)
