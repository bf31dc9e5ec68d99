"""Mixed clips: each of a batch together with the next one, in pictures and in what is to be answered.

mixup (Zhang et al., arXiv 1710.09412) blends the pixels of two clips, cutmix (Yun et al., arXiv 1905.04899)
puts a box of one into the other. A clip is mixed whole: one share, and one box, for all of its frames, and
for all clips of a batch. Random numbers come from (seed, epoch, step) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """What is done to the batches of a training; `mixup` and `cutmix` are the alphas, 0 is off.

    With both on, each batch has one of them, with equal chances. Of a batch that several processes share,
    each needs one clip more than its own: the one before them, which is `ahead`.
    """

    mixup: float
    cutmix: float
    classes: int  # that are learned
    seed: int
    ahead: int = 0  # clips at the beginning that are there for the next one's sake

    @property
    def on(self) -> bool:
        """Whether clips are mixed at all."""
        return bool(self.mixup or self.cutmix)

    def __call__(self, frames: Tensor, labels: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Frames (clips, T, 3, H, W) and labels (clips,) -> mixed frames and targets (clips, classes).

        With both off, what was given. The share lambda of a clip's own picture is drawn from Beta(alpha,
        alpha); with cutmix it is then what the box, cut at the picture's edge, leaves. Targets are the two
        labels in that share. The clips `ahead` are not among the mixed ones.
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
        # F.one_hot would read the labels, for which a GPU's queue has to run empty.
        targets = torch.eye(self.classes, device=labels.device)[labels]
        return mixed, torch.lerp(targets.roll(1, 0), targets, share)[self.ahead :]


def draw_box(height: int, width: int, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A box (top, bottom, left, right) in pixels, ends excluded, whose area is 1 - `share` of the picture.

    Its middle is anywhere, so that an edge of the picture may cut it (arXiv 1905.04899, section 3.1).
    """
    y, x = rng.integers(height), rng.integers(width)
    half_height = math.sqrt(1 - share) * height / 2
    half_width = math.sqrt(1 - share) * width / 2
    top, bottom = (int(np.clip(round(y + side * half_height), 0, height)) for side in (-1, 1))
    left, right = (int(np.clip(round(x + side * half_width), 0, width)) for side in (-1, 1))
    return top, bottom, left, right
