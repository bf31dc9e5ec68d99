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

from dfer_model.classifiers.clip import Clip
from dfer_model.classifiers.prompt_learner import PromptLearner, TextTower


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


@dataclass(frozen=True)
class ReadDescriptors:
    """Descriptors as a text tower reads them, one by one and without contexts."""

    pairs: tuple[tuple[str, str], ...]  # (class name, descriptor)
    words: Tensor  # (descriptors, width), unit norm

    def evidence(self, frames: Tensor, mean: Tensor) -> Evidence:
        """Evidence in one clip: `frames` (T, width) are its frame features, `mean` (width,) a mean.

        It is that of frames in general; frame features are of unit norm.
        """
        with torch.inference_mode():
            rise = self.words @ frames.T - (self.words @ mean)[:, None]  # (descriptors, T)
        return Evidence(self.pairs, rise.numpy())


def read_descriptors(descriptors: Mapping[str, Sequence[str]], clip: Clip) -> ReadDescriptors:
    """The descriptors of each class by `clip`'s text tower. Raises InputError for one that does not fit."""
    pairs = tuple((name, text) for name, texts in descriptors.items() for text in texts)
    names, texts = zip(*pairs, strict=True)
    with torch.inference_mode():
        learner = PromptLearner(clip, [[text] for text in texts], contexts=0, class_names=names)
        return ReadDescriptors(pairs, F.normalize(learner.class_weights(TextTower(clip)), dim=-1))


def descriptor_evidence(
    frames: Tensor, reference: Tensor, descriptors: Mapping[str, Sequence[str]], clip: Clip
) -> Evidence:
    """Evidence for each descriptor of each class in one clip.

    `frames` (T, width) are the clip's frame features, `reference` (N, width) those of other clips, both of
    unit norm; the descriptors are put to `clip`'s text tower one by one, without contexts.
    """
    return read_descriptors(descriptors, clip).evidence(frames, reference.mean(dim=0))
