"""Several DFER-CLIPs on one frozen CLIP as one model: what differs is stacked, the text tower is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from ..clip import Clip
from ..dfer_clip import TEMPERATURE
from ..members import Members
from ..prompt_learner import PromptLearner, TextTower
from ..runs import ClassTexts
from ..settings import ModelSettings
from ..temperature import LearnedTemperature
from ..temporal import TemporalModel

Pair = tuple[ClassTexts, int]  # a set and a seed: one model


class Stacked(nn.Module):
    """The models of `pairs` without their image towers, each drawn from its seed as DferClip is.

    Raises InputError for descriptions that do not fit the text tower, and names their class.
    """

    def __init__(self, clip: Clip, pairs: Sequence[Pair], settings: ModelSettings) -> None:
        super().__init__()
        temporal: list[TemporalModel] = []
        prompts: list[PromptLearner] = []
        temperatures: list[LearnedTemperature] = []
        for texts, seed in pairs:
            torch.manual_seed(seed)
            if settings.temporal_depth:
                temporal.append(TemporalModel(clip.embed_dim, settings.frames, settings.temporal_depth))
            prompts.append(
                PromptLearner(
                    clip,
                    texts.texts,
                    contexts=settings.contexts,
                    position=settings.position,
                    context_kind=settings.context_kind,
                    member_contexts=settings.member_contexts,
                    class_names=texts.class_names,
                )
            )
            if settings.learned_temperature:
                temperatures.append(LearnedTemperature(TEMPERATURE))
        self.temporal = nn.ModuleList(temporal)
        self.prompts = nn.ModuleList(prompts)
        self._prompts = tuple(prompts)  # the same, as what they are
        self.temperatures = nn.ModuleList(temperatures)
        self.text_tower = TextTower(clip)
        self.members = [Members(each.members, settings.ensemble) for each in prompts]
        self.train()

    def forward(self, features: Tensor, class_weights: Sequence[Tensor] | None = None) -> Tensor:
        """Frame features (models, clips, T, width), each model's own -> logits (models, clips, classes).

        `class_weights` are those that an earlier call of `class_weights` returned; None reads them anew.
        """
        weights = self.class_weights() if class_weights is None else class_weights
        return torch.stack(
            [
                self._logits(number, video, own)
                for number, (video, own) in enumerate(zip(self._videos(features), weights, strict=True))
            ]
        )

    def class_weights(self) -> list[Tensor]:
        """For each model what DferClip.class_weights gives."""
        return [
            members.weights(prompts.member_weights(self.text_tower))
            for members, prompts in zip(self.members, self._prompts, strict=True)
        ]

    def _videos(self, features: Tensor) -> Tensor:
        """The video features (models, clips, width)."""
        if not self.temporal:
            return features.mean(dim=2)
        return torch.stack([model(own) for model, own in zip(self.temporal, features, strict=True)])

    def _logits(self, number: int, video: Tensor, class_weights: Tensor) -> Tensor:
        with torch.autocast(video.device.type, enabled=False):
            cosines = F.normalize(video.float(), dim=-1) @ class_weights.float().T
            divisor: Tensor | float = self.temperatures[number]() if self.temperatures else TEMPERATURE
            return self.members[number].cosines(cosines) / divisor

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """What an optimiser may change: `temporal`, and `context` with all that is learned about texts."""
        contexts = [each for each in self.prompts.parameters() if each.numel()]
        return {
            "temporal": list(self.temporal.parameters()),
            "context": [*contexts, *self.temperatures.parameters()],
        }

    def train(self, mode: bool = True) -> Self:
        """As torch's, and the text tower, always frozen, stays in eval mode."""
        super().train(mode)
        self.text_tower.eval()
        return self
