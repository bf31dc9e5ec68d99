"""DFER-CLIP: facial expressions in video, told apart by what is written about them.

The paper is "Prompting Visual-Language Models for Dynamic Facial Expression Recognition" (Zhao and Patras,
BMVC 2023, arXiv 2308.13382); it stands on CLIP (arXiv 2103.00020) and takes its learnable prompts from CoOp
(arXiv 2109.01134). Paper and released code differ in how they train, not in the model; settings.py has both.

    frames -> image tower -> frame features -> temporal model -> video feature ─┐
                                                                                ├─ cosine / 0.01 -> logits
    contexts + descriptions -> prompts -> text tower (frozen) -> class weights ─┘

The temperature that cosines are divided by, where it is learned and not CLIP's final 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.config import ModelSettings
from dfer_model.models.bf16 import ImageTower

from .classifier import Classifier
from .clip import Clip
from .prompt_learner import Members, PromptLearner, TextTower
from .temporal import TemporalModel

TEMPERATURE = 0.01


class VideoClassifier(Classifier):
    """The visual half, which every classifier on CLIP has: frames -> video feature.

    It copies CLIP's image tower, so that training never changes a Clip that other models are built from.
    """

    def __init__(self, clip: Clip, settings: ModelSettings):
        super().__init__()
        self.embed_dim = clip.embed_dim
        self.trains_image = settings.lr_image > 0
        self.image_tower: nn.Module = deepcopy(clip.model.get_submodule("visual"))
        self.image_tower.requires_grad_(self.trains_image)
        self.image_features = ImageTower(self.image_tower)
        self.temporal: TemporalModel | None = None
        if settings.temporal_depth:
            self.temporal = TemporalModel(clip.embed_dim, settings.frames, settings.temporal_depth)

    def frame_features(self, frames: Tensor) -> Tensor:
        """f_t = image tower(x_t) for each frame by itself: (clips, T, 3, H, W) -> (clips, T, width)."""
        clips, length = frames.shape[:2]
        features = self.image_features(frames.flatten(0, 1))  # (clips * T, width); no graph where frozen
        return features.view(clips, length, -1)

    def video_features(self, frame_features: Tensor) -> Tensor:
        """The temporal model's class token, or without one the mean: (clips, T, width) -> (clips, width)."""
        if self.temporal is None:
            return frame_features.mean(dim=1)
        video: Tensor = self.temporal(frame_features)
        return video

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """What an optimiser may change, here `image` and `temporal`; a part that is not there is empty."""
        return {
            "image": list(self.image_tower.parameters()) if self.trains_image else [],
            "temporal": list(self.temporal.parameters()) if self.temporal is not None else [],
        }

    def train(self, mode: bool = True) -> Self:
        """As torch's, but a frozen image tower stays in eval mode, and so does every BatchNorm of one.

        A batch holds few clips, each of near-equal frames: its statistics would ruin a ResNet's running ones.
        """
        super().train(mode)
        if not self.trains_image:
            self.image_tower.eval()
        for module in self.image_tower.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
        return self


class DferClip(VideoClassifier):
    """The model of `settings` for classes given by their texts: in label order, a list of descriptions each.

    It copies what it needs of `clip`. New parts are drawn with torch's random state as it is: seed it first.
    Raises InputError for descriptions that do not fit the text tower, and names their class by `class_names`.
    """

    left_out: tuple[str, ...] = ("text_tower",)

    def __init__(
        self,
        clip: Clip,
        class_texts: Sequence[Sequence[str]],
        settings: ModelSettings,
        *,
        class_names: Sequence[str] | None = None,
    ):
        # The temporal model is drawn before the contexts: it starts out the same for any number of them.
        super().__init__(clip, settings)
        self.prompt_learner = PromptLearner(
            clip,
            class_texts,
            contexts=settings.contexts,
            position=settings.position,
            context_kind=settings.context_kind,
            member_contexts=settings.member_contexts,
            class_names=class_names,
        )
        self.text_tower = TextTower(clip)
        self.members = Members(self.prompt_learner.members, settings.ensemble)
        self.temperature = LearnedTemperature(TEMPERATURE) if settings.learned_temperature else None
        self.train()

    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes)."""
        frame_features = self.frame_features(frames)  # (clips, T, width)
        video = self.video_features(frame_features)  # (clips, width)
        weights = self.class_weights() if class_weights is None else class_weights  # (classes, width)
        return self.logits(video, weights)  # (clips, classes)

    def class_weights(self) -> Tensor:
        """w_c = text tower(P_c) at EOS, unit norm, for every class: (classes, width).

        Where the members of a class answer each by itself, one for every member: (members, width).
        """
        return self.members.weights(self.prompt_learner.member_weights(self.text_tower))

    def class_weights_shape(self) -> tuple[int, ...]:
        """(classes, width), or (members, width) where the members of a class answer each by itself."""
        counts = self.members.counts
        return (len(counts) if self.members.ensemble == "mean-embedding" else sum(counts), self.embed_dim)

    def logits(self, video: Tensor, class_weights: Tensor) -> Tensor:
        """cos(video, w_c) / 0.01, of which the softmax is p(c | x): (clips, width) -> (clips, classes).

        In float32 also under autocast: divided by 0.01, bfloat16's rounding would be half a logit.
        """
        with torch.autocast(video.device.type, enabled=False):
            cosines = F.normalize(video.float(), dim=-1) @ class_weights.float().T
            return self.members.cosines(cosines) / self.divisor()

    def divisor(self) -> Tensor | float:
        """The temperature: 0.01, as CLIP's, or the one that is learned."""
        if self.temperature is None:
            return TEMPERATURE
        learned: Tensor = self.temperature()
        return learned

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """`image`, `temporal`, and `context` with all that is learned about the texts."""
        contexts = self.prompt_learner.contexts
        learned = list(self.temperature.parameters()) if self.temperature is not None else []
        return {
            **super().trained_parameters(),
            "context": [*([contexts] if contexts.numel() else []), *learned],
        }

    def train(self, mode: bool = True) -> Self:
        """As VideoClassifier's, and the text tower, always frozen, stays in eval mode."""
        super().train(mode)
        self.text_tower.eval()
        return self


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
