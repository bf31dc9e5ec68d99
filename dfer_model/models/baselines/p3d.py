"""P3D: "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks" (Qiu et al. 2017).

arXiv 1711.10305. A bottleneck ResNet whose 3x3 convolution is replaced by a spatial one S of 1x3x3 and a
temporal one T of 3x1x1, combined in three ways that alternate from unit to unit:

    A: T(S(x)), in series    B: S(x) + T(x), in parallel    C: S(x) + T(S(x)), in series with a shortcut

As in the released network, a max pool halves time after the stem and after each of the first three stages,
and the last stage is spatial. This is P3D-63, a ResNet-50 (3, 4, 6 and 3 units) with 13 more
convolutions; the paper's best is P3D-199, the same on a ResNet-152 (3, 8, 36, 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Literal

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

Kind = Literal["A", "B", "C", "2D"]
STAGES = (3, 4, 6, 3)
PLANES = (64, 128, 256, 512)
EXPANSION = 4
WIDTH = PLANES[-1] * EXPANSION


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
