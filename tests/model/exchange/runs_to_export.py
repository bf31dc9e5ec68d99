"""The test frames of a run as another program would read them, and its recorded logits."""

from __future__ import annotations

import numpy as np
import torch

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run


def judged_frames(run: Run, clips: PackedClips, image_size: int) -> torch.Tensor:
    """uint8 frames (clips, T, 3, S, S) of the test clips of the run."""
    dataset = ClipDataset(
        clips, clips.test_indices(run.fold), frames=run.settings.frames, image_size=image_size
    )
    return torch.stack([dataset[index]["frames"] for index in range(len(dataset))])


def recorded_logits(run: Run) -> np.ndarray:
    """What training wrote of its test clips."""
    return run.predictions(run.selected).logits
