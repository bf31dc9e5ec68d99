"""mixup and cutmix: each clip of a batch is mixed with its predecessor, in pixels and in targets.

mixup (Zhang et al., arXiv 1710.09412) blends the pixels of two clips, cutmix (Yun et al., arXiv 1905.04899)
pastes a box of one into the other. One share and one box apply to all frames of all clips of a batch. Random
numbers depend on (seed, epoch, step) only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """Mixing of batches; `mixup` and `cutmix` are the alphas of the Beta distributions, 0 is off.

    With both on, each batch uses one of them with equal probability. If several processes share a batch, each
    needs one clip more than its own: the predecessor of its first clip, which is counted by `ahead`.
    """

    mixup: float
    cutmix: float
    classes: int  # learned classes
    seed: int
    ahead: int = 0  # clips at the beginning that are only the predecessor of the next one

    @property
    def on(self) -> bool:
        """Whether clips are mixed."""
        return bool(self.mixup or self.cutmix)

    def __call__(self, frames: Tensor, labels: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Frames (clips, T, 3, H, W) and labels (clips,) -> mixed frames and targets (clips, classes).

        With both off, returns the input. The share lambda of a clip's own pixels is drawn from Beta(alpha,
        alpha); with cutmix it is then the area outside the box, which is cut at the frame's edge. Targets are
        the two labels weighted by lambda. The clips `ahead` are not part of the output.
        """
        if not self.on:
            return frames, labels
        rng = np.random.default_rng([self.seed, epoch, step])
        cut = rng.random() < (0.5 if self.mixup else 1) if self.cutmix else False
        share = float(rng.beta(self.cutmix, self.cutmix) if cut else rng.beta(self.mixup, self.mixup))
        others, frames = frames.roll(1, 0)[self.ahead :], frames[self.ahead :]
        if cut:
            height, width = frames.shape[-2:]
            top, bottom, left, right = draw_box(height, width, share, rng)
            share = 1 - (bottom - top) * (right - left) / (height * width)
            mixed = frames.clone()
            mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        else:
            mixed = torch.lerp(others, frames, share)
        # F.one_hot would read the labels, which waits until the GPU's queue is empty.
        targets = torch.eye(self.classes, device=labels.device)[labels]
        return mixed, torch.lerp(targets.roll(1, 0), targets, share)[self.ahead :]


def draw_box(height: int, width: int, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A box (top, bottom, left, right) in pixels, ends excluded, with an area of 1 - `share` of the frame.

    Its centre is uniform over the frame, whose edge may cut it (arXiv 1905.04899, section 3.1).
    """
    y, x = rng.integers(height), rng.integers(width)
    half_height = math.sqrt(1 - share) * height / 2
    half_width = math.sqrt(1 - share) * width / 2
    top, bottom = (int(np.clip(round(y + side * half_height), 0, height)) for side in (-1, 1))
    left, right = (int(np.clip(round(x + side * half_width), 0, width)) for side in (-1, 1))
    return top, bottom, left, right
