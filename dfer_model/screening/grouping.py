"""How many models are trained together: as many as a step has memory for."""

from __future__ import annotations

from collections.abc import Sequence

from dfer_model.classifiers.clip import Clip, text_part
from dfer_model.classifiers.temporal import HEAD_WIDTH, HEADS, MLP_WIDTH

from ..runs import ClassTexts
from ..settings import Settings
from .stacked import Pair

_FLOAT = 4  # bytes


def groups(clip: Clip, pairs: Sequence[Pair], settings: Settings, most_bytes: int) -> list[list[Pair]]:
    """`pairs` in their order, in groups whose steps keep about `most_bytes` or less for the gradient.

    A group has at least one model, however large.
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
    """About the bytes that one model's step keeps: what its towers' gradient needs, and its numbers.

    For each position of a prompt and layer of the text tower some 20 numbers per width, for each frame and
    layer of the temporal model those between its linear layers, and each number that is trained four times
    (itself, its gradient, and two of an optimiser or an average).
    """
    tower = text_part(clip.model).transformer
    positions = sum(
        len(clip.tokenizer.encode(text)) + settings.contexts + 2 for own in texts.texts for text in own
    )
    width, inner = clip.embed_dim, HEADS * HEAD_WIDTH
    text = positions * tower.layers * 20 * clip.text_width
    tokens = settings.batch_size * (settings.frames + 1)
    frames = tokens * settings.temporal_depth * (6 * width + 6 * inner + 3 * MLP_WIDTH)
    trained = settings.temporal_depth * width * (4 * inner + 2 * MLP_WIDTH)
    return int(_FLOAT * (text + frames + 4 * trained))
