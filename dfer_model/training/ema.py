"""Two ways to regularise a training: an average of the weights, and mixing of the clips.

`Average` is the exponential moving average (EMA) of the trained weights, which replaces them in evaluation.

`Mixing` mixes each clip of a batch with its predecessor, in pixels and in targets: mixup (Zhang et al., arXiv
1710.09412) blends the pixels of two clips, cutmix (Yun et al., arXiv 1905.04899) pastes a box of one into the
other. One share and one box apply to all frames of all clips of a batch. Random numbers depend on (seed,
epoch, step) only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfer_model.checkpoints import trained_state


class Average:
    """avg = d * avg + (1 - d) * weight after every step, for everything that training changes in `model`.

    d = min(decay, (1 + n) / (10 + n)) at step n (from 1), as in TensorFlow's ExponentialMovingAverage with
    num_updates, so that the initial weights do not dominate a short training. Decay 0 turns it off.

    torch's AveragedModel is not used. It copies the whole model, including frozen towers, averages all of its
    parameters, and replaces the initial weights by those after the first step. Its step counter is a tensor,
    so a decay that depends on the step would wait for the GPU. Checkpoints store the averages under the names
    of the weights, without AveragedModel's prefix `module.`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {
            name: value.detach()
            for name, value in trained_state(model).items()
            if decay and value.is_floating_point()
        }
        self.averages: dict[str, Tensor] = {name: value.clone() for name, value in self.weights.items()}

    def update(self) -> None:
        """Add the weights after a step to the average."""
        if not self.weights:
            return
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.averages.values()), list(self.weights.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within this context the model has the averages; afterwards, also after an error, the weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, weight in self.weights.items():
            weight_now = weight.clone()
            weight.copy_(self.averages[name])
            self.averages[name].copy_(weight_now)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, in the form of torch's optimisers."""
        return {"steps": self.steps, "averages": self.averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned. Raises KeyError for the state of another model."""
        self.steps = int(state["steps"])
        for name, average in self.averages.items():
            average.copy_(state["averages"][name])


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

        Labels may be distributions (clips, classes) already, which are mixed in the same way.
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
        targets = labels
        if labels.dim() == 1:
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
