"""The temperature that cosines are divided by, where it is learned and not CLIP's final 0.01."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SMALLEST, LARGEST = 0.01, 1.0  # CLIP keeps its logit_scale, the inverse, within 1..100 (arXiv 2103.00020)


class LearnedTemperature(nn.Module):
    """A temperature learned as its logarithm, so that it stays positive, and kept within its bounds."""

    def __init__(self, initial: float):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(initial)))

    def forward(self) -> Tensor:
        """The temperature, a scalar."""
        bounds = math.log(SMALLEST), math.log(LARGEST)
        if not self.training:
            return self.log_temperature.clamp(*bounds).exp()
        # In place, as CLIP does it: past a bound, a clamp in the graph has no gradient to come back by.
        with torch.no_grad():
            self.log_temperature.clamp_(*bounds)
        return self.log_temperature.exp()
