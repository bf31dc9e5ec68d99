"""What the 3D networks share about time: pools that halve it as long as there is more than one step."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def halve_time(x: Tensor) -> Tensor:
    """(clips, channels, T, H, W) -> (clips, channels, T // 2, H, W) by a maximum; one step stays as it is."""
    return F.max_pool3d(x, (2, 1, 1)) if x.shape[2] > 1 else x
