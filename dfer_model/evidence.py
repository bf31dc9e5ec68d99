"""Which descriptors, on which frames, speak for an answer.

The evidence is the similarity of each frame with each descriptor by itself, above what that descriptor has
with frames in general. It is about the image and text towers; it is not the sum that the model computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from .clip import Clip
from .prompt_learner import PromptLearner, TextTower


@dataclass(frozen=True)
class Evidence:
    """`rise[d, t]`: how much nearer frame t is to descriptor d than frames are on average (cosine)."""

    descriptors: tuple[tuple[str, str], ...]  # (class name, descriptor)
    rise: npt.NDArray[np.float32]  # (descriptors, T)

    def strongest(self, count: int) -> list[tuple[str, str, int, float]]:
        """The descriptors that rise most: (class name, descriptor, position of its best frame, rise)."""
        peaks = self.rise.max(axis=1)
        order = np.argsort(-peaks, kind="stable")[:count]
        return [(*self.descriptors[d], int(self.rise[d].argmax()), float(peaks[d])) for d in order]

    def best_frames(self, class_name: str, count: int) -> list[int]:
        """Positions of the frames that speak most for a class: by the mean rise of its descriptors."""
        mine = [row for row, (name, _) in enumerate(self.descriptors) if name == class_name]
        return sorted(np.argsort(-self.rise[mine].mean(axis=0), kind="stable")[:count].tolist())


def descriptor_evidence(
    frames: Tensor, reference: Tensor, descriptors: Mapping[str, Sequence[str]], clip: Clip
) -> Evidence:
    """Evidence for each descriptor of each class in one clip.

    `frames` (T, width) are the clip's frame features, `reference` (N, width) those of other clips, both of
    unit norm; the descriptors are put to `clip`'s text tower one by one, without contexts.
    """
    pairs = tuple((name, text) for name, texts in descriptors.items() for text in texts)
    names, texts = zip(*pairs, strict=True)
    with torch.inference_mode():
        learner = PromptLearner(clip, [[text] for text in texts], contexts=0, class_names=names)
        words = F.normalize(learner.class_weights(TextTower(clip)), dim=-1)  # (descriptors, width)
        rise = words @ frames.T - (words @ reference.T).mean(dim=1, keepdim=True)  # (descriptors, T)
    return Evidence(pairs, rise.numpy())
