"""Exponential moving average (EMA) of the trained weights, which replaces them in evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
