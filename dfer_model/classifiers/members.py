"""Members, the several descriptions of a class, as one answer.

`mean-embedding` compares a clip with the unit mean of the members' weights (as CLIP ensembles its prompts,
arXiv 2103.00020, section 3.1.4), `mean-similarity` takes the mean of its cosines with them (as in
arXiv 2210.07183), `max` the largest. For classes of one member all three are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

Ensemble = Literal["mean-embedding", "mean-similarity", "max"]


@dataclass(frozen=True)
class Members:
    """How many members each class has, in label order, and how they answer together.

    Weights and cosines stand class by class, within a class member by member.
    """

    counts: tuple[int, ...]
    ensemble: Ensemble = "mean-embedding"

    def weights(self, of_members: Tensor) -> Tensor:
        """What a clip is compared with: (..., members of all classes, width), unit norm, both ways.

        With `mean-embedding` it is one per class, (..., classes, width), else the members' own.
        """
        if self.ensemble != "mean-embedding":
            return of_members
        parts = torch.split(of_members, list(self.counts), dim=-2)
        return F.normalize(torch.stack([part.mean(dim=-2) for part in parts], dim=-2), dim=-1)

    def cosines(self, with_weights: Tensor) -> Tensor:
        """The classes' cosines (..., classes) from those with what `weights` gave."""
        if self.ensemble == "mean-embedding":
            return with_weights
        parts = torch.split(with_weights, list(self.counts), dim=-1)
        if self.ensemble == "mean-similarity":
            return torch.stack([part.mean(dim=-1) for part in parts], dim=-1)
        return torch.stack([part.amax(dim=-1) for part in parts], dim=-1)
