"""Several DFER-CLIPs on one frozen CLIP as one model: trained parameters stacked, text tower shared.

`groups` limits how many models are trained together, by the memory of a step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dfer_model.models.clip import Clip, reads_padding, text_part
from dfer_model.models.dfer_clip import TEMPERATURE, LearnedTemperature
from dfer_model.models.prompt_learner import Members, PromptLearner, TextTower
from dfer_model.models.temporal import HEAD_WIDTH, HEADS, MLP_WIDTH, TemporalModel

from ...config import ModelSettings, Settings
from ...runs import ClassTexts

Pair = tuple[ClassTexts, int]  # a set and a seed: one model
PROMPTS_AT_ONCE = 64


class Stacked(nn.Module):
    """The models of `pairs` without their image towers, each initialised from its seed as DferClip is.

    The models of a set are adjacent. Raises InputError, with the class, for descriptions that do not fit the
    text tower.
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
        self.temporal = StackedTemporal(temporal) if temporal else None
        self.prompts = StackedPrompts(clip, prompts)
        self.temperatures = nn.ModuleList(temperatures)
        together = itertools.groupby(pairs, key=lambda pair: pair[0])
        # The number of adjacent models with the same texts, and the members of those texts.
        self.sets = [
            (len(list(models)), Members(tuple(map(len, texts.texts)), settings.ensemble))
            for texts, models in together
        ]
        self.train()

    def forward(self, features: Tensor, class_weights: Sequence[Tensor] | None = None) -> Tensor:
        """Frame features (models, clips, T, width), -> logits (models, clips, classes).

        `class_weights` are those of an earlier call of `class_weights`; None computes them.
        """
        videos = features.mean(dim=2) if self.temporal is None else self.temporal(features)
        weights = self.class_weights() if class_weights is None else class_weights
        return self.logits(videos, weights)

    def class_weights(self) -> list[Tensor]:
        """For each set DferClip.class_weights of its models: (models, classes, width)."""
        prompts = [len(models) for models in self.prompts.of_models]
        of_models = torch.split(self.prompts(), prompts)
        weights, first = [], 0
        for models, members in self.sets:
            weights.append(members.weights(torch.stack(of_models[first : first + models])))
            first += models
        return weights

    def logits(self, videos: Tensor, class_weights: Sequence[Tensor]) -> Tensor:
        """(models, clips, width) and each set's class weights -> (models, clips, classes), as in DferClip."""
        with torch.autocast(videos.device.type, enabled=False):
            unit = torch.split(F.normalize(videos.float(), dim=-1), [models for models, _ in self.sets])
            cosines = torch.cat(
                [
                    members.cosines(own @ weights.float().transpose(1, 2))
                    for own, weights, (_, members) in zip(unit, class_weights, self.sets, strict=True)
                ]
            )
            return cosines / self.divisors()

    def divisors(self) -> Tensor | float:
        """The models' temperatures (models, 1, 1), or the common one."""
        if not self.temperatures:
            return TEMPERATURE
        return torch.stack([learned() for learned in self.temperatures])[:, None, None]

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of the optimiser: `temporal`, and `context` with learned temperatures."""
        contexts = [each for each in self.prompts.learners.parameters() if each.numel()]
        return {
            "temporal": [] if self.temporal is None else list(self.temporal.parameters()),
            "context": [*contexts, *self.temperatures.parameters()],
        }

    def train(self, mode: bool = True) -> Self:
        """As in torch, but the frozen text tower stays in eval mode."""
        super().train(mode)
        self.prompts.text_tower.eval()
        return self


class StackedTemporal(nn.Module):
    """Temporal models of one shape, computed together."""

    def __init__(self, models: Sequence[TemporalModel]) -> None:
        super().__init__()
        named = [dict(model.named_parameters()) for model in models]
        names = list(named[0])
        self.stacked = nn.ParameterList(
            torch.stack([each[name].detach() for each in named]) for name in names
        )
        shape = models[0].to("meta")

        def one(parameters: list[Tensor], features: Tensor) -> Tensor:
            video: Tensor = functional_call(shape, dict(zip(names, parameters, strict=True)), (features,))
            return video

        self.each = vmap(one)

    def forward(self, features: Tensor) -> Tensor:
        """(models, clips, T, width) -> (models, clips, width)."""
        # The only attention kernel that vmap batches over the models.
        with sdpa_kernel(SDPBackend.MATH):
            videos: Tensor = self.each(list(self.stacked), features)
        return videos


class StackedPrompts(nn.Module):
    """The prompts of all models, encoded by one text tower in batches of similar length."""

    ends: Tensor  # (prompts,), the position of EOS
    order: Tensor  # (prompts,), from the shortest to the longest
    place: Tensor  # (prompts,), the index of each in that order

    def __init__(self, clip: Clip, learners: Sequence[PromptLearner]) -> None:
        super().__init__()
        self.learners = nn.ModuleList(learners)
        self.text_tower = TextTower(clip)
        self.of_models = [each.ends for each in learners]
        self.register_buffer("ends", torch.cat(self.of_models), persistent=False)
        self.length = int(self.ends.max()) + 1
        self.register_buffer("order", self.ends.argsort(stable=True), persistent=False)
        self.register_buffer("place", self.order.argsort(), persistent=False)
        parts = torch.split(self.order, PROMPTS_AT_ONCE)
        self.lengths = [int(self.ends[part].max()) + 1 for part in parts]

    def forward(self) -> Tensor:
        """The text tower's output for every prompt, model by model, unit norm: (prompts, embed width)."""
        prompts = torch.cat([self._padded(learner()) for learner in self.learners])
        parts = torch.split(self.order, PROMPTS_AT_ONCE)
        read = [
            self.text_tower(prompts[part, :length], self.ends[part]).float()
            for part, length in zip(parts, self.lengths, strict=True)
        ]
        return F.normalize(torch.cat(read)[self.place], dim=-1)

    def _padded(self, prompts: Tensor) -> Tensor:
        """(prompts, own length, text width) -> (prompts, length of the longest, text width)."""
        return F.pad(prompts, (0, 0, 0, self.length - prompts.shape[1]))


_FLOAT = 4  # bytes


def groups(clip: Clip, pairs: Sequence[Pair], settings: Settings, most_bytes: int) -> list[list[Pair]]:
    """`pairs` in their order, in groups whose steps need about `most_bytes` or less of memory.

    A group has at least one model.
    """
    cost = {texts: model_bytes(clip, texts, settings) for texts, _ in pairs}
    found: list[list[Pair]] = []
    left = 0
    for texts, seed in pairs:
        left -= cost[texts]
        if not found or left < 0:
            found.append([])
            left = most_bytes - cost[texts]
        found[-1].append((texts, seed))
    return found


def model_bytes(clip: Clip, texts: ClassTexts, settings: Settings) -> int:
    """The approximate memory in bytes of one model's step: activations and trained parameters.

    About 20 numbers per width for each prompt position and layer of the text tower, the activations between
    linear layers for each frame and layer of the temporal model, and four numbers per trained parameter
    (itself, its gradient, and two of the optimiser or the moving average).
    """
    tower = text_part(clip.model).transformer
    full = clip.context_length if reads_padding(clip) else 0
    positions = sum(
        full or len(clip.tokenizer.encode(text)) + settings.contexts + 2
        for own in texts.texts
        for text in own
    )
    width, inner = clip.embed_dim, HEADS * HEAD_WIDTH
    text = positions * tower.layers * 20 * clip.text_width
    tokens = settings.batch_size * (settings.frames + 1)
    frames = tokens * settings.temporal_depth * (6 * width + 6 * inner + 3 * MLP_WIDTH)
    trained = settings.temporal_depth * width * (4 * inner + 2 * MLP_WIDTH)
    return int(_FLOAT * (text + frames + 4 * trained))
