"""Class weights from text: learnable contexts around a description, encoded by CLIP's frozen text tower.

DFER-CLIP (arXiv 2308.13382), after CoOp (arXiv 2109.01134): with position `end` the prompt of class c is

    P_c = [SOS] [V_c]_1 [V_c]_2 ... [V_c]_M [tokens of the description of c] [EOS]

where the M vectors V are learned and everything else is frozen. The class weight is the text tower's output
at EOS (`TextTower` lists the towers that have it elsewhere). `Members` combines several descriptions of a
class.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.errors import InputError
from dfer_model.models.bf16 import Blocks, text_features

from .clip import Clip, marks, reads_padding, text_part, token_ids
from .compiled import OFF

Position = Literal["end", "middle", "front"]
CONTEXT = -1  # marks the position of a context vector in a layout


def layout(
    ids: Sequence[int], contexts: int, position: Position, *, start: Sequence[int], end: Sequence[int]
) -> list[int]:
    """The tokens of the prompt in order, with CONTEXT for each context vector.

    `position` is the place of the description `ids`: at the end (contexts before it), in the middle (half of
    them before it, rounded down) or at the front (all of them after it). `start` and `end` are the tokens
    around both; SigLIP has no start.
    """
    before = {"end": contexts, "middle": contexts // 2, "front": 0}[position]
    return [*start, *[CONTEXT] * before, *ids, *[CONTEXT] * (contexts - before), *end]


class TextTower(nn.Module):
    """The frozen text tower after the token embeddings; gradients pass through it to the contexts.

    The values of `prompts` after the end of a prompt are never used. The towers of CLIP, MetaCLIP, EVA-02 and
    PE-Core are causal and have their output at EOS, so they compute no padding. The others compute all
    positions, with the padding token's embedding after the end, as they were trained: SigLIP, SigLIP2 and
    CLIPA are not causal and have their output at the last position, most MobileCLIPs are not causal and have
    it at EOS, and CoCa has it at a class token after the last position.
    """

    attn_mask: Tensor | None  # (positions, positions) of a causal tower

    def __init__(self, clip: Clip, *, fast_fp32: bool = False, backend: str = OFF):
        super().__init__()
        source = text_part(clip.model)
        self.transformer: nn.Module = deepcopy(source.transformer)
        self.positional_embedding: nn.Parameter = deepcopy(source.positional_embedding)
        self.ln_final: nn.Module = deepcopy(source.ln_final)
        self.text_projection: Any = deepcopy(source.text_projection)
        mask = source.attn_mask
        self.register_buffer("attn_mask", None if mask is None else mask.clone(), persistent=False)
        self.padding = Padding(clip) if reads_padding(clip) else None
        self.requires_grad_(False)
        self.blocks = Blocks(self.transformer, fast_fp32=fast_fp32, backend=backend)

    def forward(self, prompts: Tensor, ends: Tensor) -> Tensor:
        """(prompts, length, text width) and the last index of each (prompts,) -> (prompts, embed width)."""
        mask = self.attn_mask
        if self.padding is not None:
            prompts, mask, ends = self.padding(prompts, ends, mask)
        elif (dtype := self.blocks.format(prompts.device)) is not None:
            return text_features(self, self.blocks, prompts, ends, dtype)
        length = prompts.shape[1]
        x: Tensor = prompts + self.positional_embedding[:length]
        x = self.transformer(x, attn_mask=None if mask is None else mask[..., :length, :length])
        x = self.ln_final(x[torch.arange(x.shape[0], device=x.device), ends])  # (prompts, text width)
        if isinstance(self.text_projection, nn.Linear):
            x = self.text_projection(x)
        elif self.text_projection is not None:
            x = x @ self.text_projection
        return x


class Padding(nn.Module):
    """Prompts over all positions of a text tower that attends to padding or has a class token after it."""

    vector: Tensor  # (text width,), the padding token's embedding

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        source = text_part(clip.model)
        table: Tensor = source.token_embedding.weight
        self.positions = clip.context_length
        self.register_buffer("vector", table[marks(clip).padding].detach().clone(), persistent=False)
        self.class_token: nn.Parameter | None = deepcopy(getattr(source, "cls_emb", None))
        self.correct_mask = bool(getattr(source, "correct_cls_mask", False))
        text = clip.config["text_cfg"]
        self.heads = int(text.get("heads", 8))  # open_clip's default
        self.at_last = text.get("pool_type") == "last" or self.class_token is not None

    def forward(
        self, prompts: Tensor, ends: Tensor, causal: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Padded prompts (prompts, positions, text width), their attention mask, and where to read each."""
        x = F.pad(prompts, (0, 0, 0, self.positions - prompts.shape[1]))
        after = torch.arange(self.positions, device=x.device) > ends[:, None]  # (prompts, positions)
        x = torch.where(after[..., None], self.vector, x)
        mask = causal
        if self.class_token is not None:
            mask = self._mask(x, causal)
            x = torch.cat([x, self.class_token.expand(x.shape[0], 1, -1)], dim=1)
        return x, mask, torch.full_like(ends, x.shape[1] - 1) if self.at_last else ends

    def _mask(self, x: Tensor, causal: Tensor | None) -> Tensor:
        """CoCa's mask (prompts * heads, positions + 1, positions + 1), by open_clip's rule.

        Padding is not attended to. In its released weights the mask is one position late: the first position
        is always attended to, and the class token's own only if the text has no padding.
        """
        text = (x != self.vector).any(dim=-1)  # a token that is also used for padding counts as padding
        always = text.new_ones(len(text), 1)
        keys = torch.cat([text, always] if self.correct_mask else [always, text], dim=1)
        mask = x.new_zeros(keys.shape).masked_fill(~keys, float("-inf"))[:, None]
        # (prompts, 1, positions + 1) -> (prompts, positions + 1, positions + 1)
        mask = mask.expand(-1, keys.shape[1], -1) if causal is None else mask + causal
        return mask.repeat_interleave(self.heads, dim=0)


class PromptLearner(nn.Module):
    """Contexts (classes, M, text width), or (M, text width) if unified, and the prompts that contain them.

    A class with several descriptions (members of an ensembled set) has a prompt for each. They share the
    contexts of the class, or each has its own if `member_contexts` is "own": (prompts, M, text width).
    Contexts are drawn from N(0, 0.02^2) with torch's current random state. Raises InputError for a class
    without a description or with one that does not fit the text tower.
    """

    embeddings: Tensor  # (prompts, length, text width); contexts replace the entries at their positions
    context_at: Tensor  # (prompts, M, text width), the position of each context
    ends: Tensor  # (prompts,), the last position of each, that of EOS
    owner: Tensor  # (prompts,), index of the contexts of a prompt
    first: Tensor  # (distinct prompts,), index of the first of each
    same_as: Tensor  # (prompts,), index of its distinct prompt

    def __init__(
        self,
        clip: Clip,
        class_texts: Sequence[Sequence[str]],
        *,
        contexts: int = 8,
        position: Position = "end",
        context_kind: Literal["class-specific", "unified"] = "class-specific",
        member_contexts: Literal["shared", "own"] = "shared",
        class_names: Sequence[str] | None = None,
    ):
        super().__init__()
        prompts, classes = _layouts(clip, class_texts, contexts, position, class_names)
        self.members = tuple(len(texts) for texts in class_texts)  # prompts are ordered by class
        ends = torch.tensor([len(prompt) - 1 for prompt in prompts])
        # The text tower ignores what follows the end of a prompt, so nothing after the longest is stored.
        tokens = torch.zeros(len(prompts), int(ends.max()) + 1, dtype=torch.int64)
        is_context = torch.zeros_like(tokens, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor([max(token, 0) for token in prompt])
            is_context[row, : len(prompt)] = torch.tensor([token == CONTEXT for token in prompt])
        with torch.no_grad():
            embeddings = text_part(clip.model).token_embedding(tokens)  # (prompts, length, text width)
        at = is_context.nonzero()[:, 1].view(len(prompts), contexts, 1)
        self.register_buffer("embeddings", embeddings.detach().clone())
        self.register_buffer("context_at", at.expand(-1, -1, clip.text_width).clone(), persistent=False)
        self.register_buffer("ends", ends, persistent=False)
        owner = torch.tensor(classes) if member_contexts == "shared" else torch.arange(len(prompts))
        self.register_buffer("owner", owner, persistent=False)
        owners = [int(owner.max()) + 1] if context_kind == "class-specific" else []
        first, same_as = _different(prompts, owner.tolist() if owners and contexts else None)
        self.register_buffer("first", torch.tensor(first), persistent=False)
        self.register_buffer("same_as", torch.tensor(same_as), persistent=False)
        self.contexts = nn.Parameter(0.02 * torch.randn(*owners, contexts, clip.text_width))

    def forward(self, shifts: Tensor | None = None) -> Tensor:
        """All prompts, as (prompts, length, text width).

        `shifts` (clips, text width) are added to every context vector; then there is a set of prompts per
        clip: (clips * prompts, length, text width), ordered by clip.
        """
        if self.contexts.ndim == 3:
            contexts = self.contexts[self.owner]  # (prompts, M, width)
        else:
            contexts = self.contexts.expand(len(self.ends), -1, -1)
        if shifts is None:
            return self.embeddings.scatter(1, self.context_at, contexts)
        shifted = contexts + shifts[:, None, None]  # (clips, prompts, M, width)
        embeddings, places = (
            each.repeat(shifts.shape[0], 1, 1) for each in (self.embeddings, self.context_at)
        )
        return embeddings.scatter(1, places, shifted.flatten(0, 1))

    def member_weights(self, text_tower: TextTower, shifts: Tensor | None = None) -> Tensor:
        """The text tower's output for every prompt, unit norm: (prompts, embed width).

        Equal prompts are encoded once. With `shifts` as in `forward`: (clips, prompts, embed width).
        """
        if shifts is None:
            if len(self.first) == len(self.ends):
                return F.normalize(text_tower(self(), self.ends).float(), dim=-1)
            read = text_tower(self()[self.first], self.ends[self.first])
            return F.normalize(read.float(), dim=-1)[self.same_as]
        ends = self.ends.repeat(shifts.shape[0])
        weights = F.normalize(text_tower(self(shifts), ends).float(), dim=-1)
        return weights.view(shifts.shape[0], len(self.ends), -1)

    def class_weights(self, text_tower: TextTower) -> Tensor:
        """(classes, embed width), unit norm; for several members the normalised mean of unit weights."""
        return Members(self.members).weights(self.member_weights(text_tower))


def _different(prompts: list[list[int]], owner: list[int] | None) -> tuple[list[int], list[int]]:
    """The first of each group of equal prompts, and the group of each; owners differ by contexts."""
    groups: dict[tuple[Any, ...], int] = {}
    first, same_as = [], []
    for number, prompt in enumerate(prompts):
        key = (*prompt, owner and owner[number])
        if key not in groups:
            groups[key] = len(groups)
            first.append(number)
        same_as.append(groups[key])
    return first, same_as


def _layouts(
    clip: Clip,
    class_texts: Sequence[Sequence[str]],
    contexts: int,
    position: Position,
    class_names: Sequence[str] | None,
) -> tuple[list[list[int]], list[int]]:
    """The layout of each prompt and the index of its class, ordered by class and member."""
    start, end, _ = marks(clip)
    if class_names is not None and len(class_names) != len(class_texts):
        raise InputError(f"{len(class_names)} class names and the texts of {len(class_texts)} classes")
    prompts, classes = [], []
    for number, texts in enumerate(class_texts):
        owner = repr(class_names[number]) if class_names is not None else f"class {number + 1}"
        if not texts:
            raise InputError(f"{owner} has no description")
        for text in texts:
            ids = token_ids(clip, text, owner=owner, contexts=contexts)
            prompts.append(layout(ids, contexts, position, start=start, end=end))
            classes.append(number)
    return prompts, classes


Ensemble = Literal["mean-embedding", "mean-similarity", "max"]


@dataclass(frozen=True)
class Members:
    """The number of members per class, in label order, and the way they are combined.

    Weights and cosines are ordered by class, within a class by member.
    """

    counts: tuple[int, ...]
    ensemble: Ensemble = "mean-embedding"

    def weights(self, of_members: Tensor) -> Tensor:
        """Weights that a clip is compared with, from (..., members of all classes, width), of unit norm.

        With `mean-embedding` one per class, (..., classes, width), otherwise the members' own.
        """
        if self.ensemble != "mean-embedding":
            return of_members
        parts = torch.split(of_members, list(self.counts), dim=-2)
        return F.normalize(torch.stack([part.mean(dim=-2) for part in parts], dim=-2), dim=-1)

    def cosines(self, with_weights: Tensor) -> Tensor:
        """Cosines of the classes (..., classes) from the cosines with the result of `weights`."""
        if self.ensemble == "mean-embedding":
            return with_weights
        parts = torch.split(with_weights, list(self.counts), dim=-1)
        if self.ensemble == "mean-similarity":
            return torch.stack([part.mean(dim=-1) for part in parts], dim=-1)
        return torch.stack([part.amax(dim=-1) for part in parts], dim=-1)
