"""DFER-CLIP: classification of facial expressions in video by text descriptions of the classes.

The paper is "Prompting Visual-Language Models for Dynamic Facial Expression Recognition" (Zhao and Patras,
BMVC 2023, arXiv 2308.13382). It builds on CLIP (arXiv 2103.00020) and the learnable prompts of CoOp (arXiv
2109.01134). Paper and released code differ in training, not in the model; config.py has presets for both.

    frames -> image tower -> frame features -> temporal model -> video feature ─┐
                                                                                ├─ cosine / 0.01 -> logits
    contexts + descriptions -> prompts -> text tower (frozen) -> class weights ─┘

Cosines are divided by CLIP's final temperature 0.01, or by a learned one (`LearnedTemperature`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.config import ModelSettings
from dfer_model.models.bf16 import ImageTower

from .classifier import Classifier
from .clip import Clip, image_tower
from .prompt_learner import Members, PromptLearner, TextTower
from .temporal import TemporalModel

TEMPERATURE = 0.01


class VideoClassifier(Classifier):
    """The visual part of every classifier on CLIP: frames -> video feature.

    It copies CLIP's image tower, so training does not change a Clip that other models are built from.
    """

    def __init__(self, clip: Clip, settings: ModelSettings):
        super().__init__()
        self.embed_dim = clip.embed_dim
        self.trains_image = settings.lr_image > 0
        self.image_tower = image_tower(clip)
        self.image_tower.requires_grad_(self.trains_image)
        self.image_features = ImageTower(
            self.image_tower, fast_fp32=settings.fast_fp32, backend=settings.compile
        )
        self.temporal: TemporalModel | None = None
        if settings.temporal_depth:
            self.temporal = TemporalModel(clip.embed_dim, settings.frames, settings.temporal_depth)

    def frame_features(self, frames: Tensor) -> Tensor:
        """f_t = image tower(x_t) for each frame: (clips, T, 3, H, W) -> (clips, T, width)."""
        clips, length = frames.shape[:2]
        features = self.image_features(frames.flatten(0, 1))  # (clips * T, width); no graph if frozen
        return features.view(clips, length, -1)

    def video_features(self, frame_features: Tensor) -> Tensor:
        """The temporal model's output, or the mean over frames: (clips, T, width) -> (clips, width)."""
        if self.temporal is None:
            return frame_features.mean(dim=1)
        video: Tensor = self.temporal(frame_features)
        return video

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parts `image` and `temporal`; a part that does not exist is empty."""
        return {
            "image": list(self.image_tower.parameters()) if self.trains_image else [],
            "temporal": list(self.temporal.parameters()) if self.temporal is not None else [],
        }

    def train(self, mode: bool = True) -> Self:
        """As in torch, but a frozen image tower and every BatchNorm of an image tower stay in eval mode.

        A batch has few clips of nearly equal frames: its statistics would spoil a ResNet's running ones.
        """
        super().train(mode)
        if not self.trains_image:
            self.image_tower.eval()
        for module in self.image_tower.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
        return self


class DferClip(VideoClassifier):
    """The model of `settings` for classes given by texts: a list of descriptions per class, in label order.

    It copies the parts of `clip` that it needs. New parts are drawn from torch's current random state: seed
    it first. Raises InputError, with the name from `class_names`, for descriptions that do not fit the text
    tower.
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
        # The temporal model is drawn first, so its initial values do not depend on the number of contexts.
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
        self.text_tower = TextTower(clip, fast_fp32=settings.fast_fp32, backend=settings.compile)
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

        If members are compared separately, one for every member: (members, width).
        """
        return self.members.weights(self.prompt_learner.member_weights(self.text_tower))

    def class_weights_shape(self) -> tuple[int, ...]:
        """(classes, width), or (members, width) if members are compared separately."""
        counts = self.members.counts
        return (len(counts) if self.members.ensemble == "mean-embedding" else sum(counts), self.embed_dim)

    def logits(self, video: Tensor, class_weights: Tensor) -> Tensor:
        """cos(video, w_c) / 0.01, whose softmax is p(c | x): (clips, width) -> (clips, classes).

        In float32 also under autocast: divided by 0.01, bfloat16's rounding error would be half a logit.
        """
        with torch.autocast(video.device.type, enabled=False):
            cosines = F.normalize(video.float(), dim=-1) @ class_weights.float().T
            return self.members.cosines(cosines) / self.divisor()

    def divisor(self) -> Tensor | float:
        """The temperature: CLIP's 0.01, or the learned one."""
        if self.temperature is None:
            return TEMPERATURE
        learned: Tensor = self.temperature()
        return learned

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """`image`, `temporal`, and `context` (contexts and learned temperature)."""
        contexts = self.prompt_learner.contexts
        learned = list(self.temperature.parameters()) if self.temperature is not None else []
        return {
            **super().trained_parameters(),
            "context": [*([contexts] if contexts.numel() else []), *learned],
        }

    def train(self, mode: bool = True) -> Self:
        """As in VideoClassifier; the frozen text tower stays in eval mode."""
        super().train(mode)
        self.text_tower.eval()
        return self


SMALLEST, LARGEST = 0.01, 1.0  # CLIP clips its logit_scale, the inverse, to 1..100 (arXiv 2103.00020)


class LearnedTemperature(nn.Module):
    """A learned temperature, stored as its logarithm so that it stays positive, and clipped to its bounds."""

    def __init__(self, initial: float):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(initial)))

    def forward(self) -> Tensor:
        """The temperature, a scalar."""
        bounds = math.log(SMALLEST), math.log(LARGEST)
        if not self.training:
            return self.log_temperature.clamp(*bounds).exp()
        # In place, as in CLIP: beyond a bound, a clamp in the graph has zero gradient.
        with torch.no_grad():
            self.log_temperature.clamp_(*bounds)
        return self.log_temperature.exp()
