"""Diagnostics of a description set in the embedding space of CLIP's text tower; they do not measure accuracy.

Texts that are far apart for the text tower need not be distinguishable for the image tower, and random texts
are far apart too. The figures find defects of a set (similar texts for two classes, repeated descriptors);
they do not show that it is good.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from dfer_model.errors import InputError
from dfer_model.models.clip import Clip
from dfer_model.models.prompt_learner import PromptLearner, TextTower
from dfer_model.runs import ClassTexts

NEAR_IDENTICAL = 0.95  # cosine from which two descriptors of a class count as identical
AT_ONCE = 256  # texts per batch


@dataclass(frozen=True)
class Likeness:
    """Two classes, or two descriptors of one, and the cosine of their embeddings."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True)
class ClassScores:
    """Figures of the descriptors of one class, all members together; None if there are too few descriptors.

    `spread` is 1 minus their mean pairwise cosine. `strays` is the share that is nearer to a descriptor of
    another class than to any other of its own class, `shared` the share that another class has verbatim.
    `near_identical` are the pairs with a cosine of NEAR_IDENTICAL or more.
    """

    class_name: str
    descriptors: int
    spread: float | None
    strays: float | None
    shared: float
    near_identical: tuple[Likeness, ...]


@dataclass(frozen=True)
class TextScores:
    """The figures of a set for one CLIP, without contexts.

    `cosines` (classes, classes) are between class weights: for several members, their unit mean. `controls`
    is for each control the mean over classes of the cosine between the set's weight and the control's.
    """

    name: str
    class_names: tuple[str, ...]
    cosines: NDArray[np.float64]
    classes: tuple[ClassScores, ...]
    controls: Mapping[str, float]

    @property
    def closest(self) -> Likeness:
        """The two most similar classes; the margin is 1 minus their cosine."""
        pairs = itertools.combinations(range(len(self.class_names)), 2)
        first, second = max(pairs, key=lambda pair: self.cosines[pair])
        cosine = float(self.cosines[first, second])
        return Likeness(self.class_names[first], self.class_names[second], cosine)

    @property
    def margin(self) -> float:
        """1 minus the largest cosine between two classes."""
        return 1 - self.closest.cosine

    @property
    def spread(self) -> float | None:
        """The mean over classes of their spread; None if no class has two descriptors."""
        return _mean([each.spread for each in self.classes])

    @property
    def overlap(self) -> float | None:
        """The mean over classes of `strays`."""
        return _mean([each.strays for each in self.classes])

    @property
    def redundancy(self) -> float:
        """The share of all descriptors that are near-identical to one before them in their class."""
        repeated = sum(len({pair.second for pair in each.near_identical}) for each in self.classes)
        return repeated / sum(each.descriptors for each in self.classes)

    @property
    def nearest_control(self) -> str | None:
        """The control with the most similar class texts."""
        return max(self.controls, key=lambda name: self.controls[name]) if self.controls else None


def text_features(clip: Clip, texts: Sequence[str], owners: Sequence[str]) -> Tensor:
    """The embeddings of texts, (texts, width), unit norm, without contexts.

    Raises InputError naming the owner (the class) of a text that does not fit the text tower.
    """
    tower = TextTower(clip)
    parts = []
    with torch.inference_mode():
        for first in range(0, len(texts), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            prompts = PromptLearner(
                clip, [[text] for text in texts[part]], contexts=0, class_names=owners[part]
            )
            parts.append(prompts.class_weights(tower))
    return torch.cat(parts)


def class_features(clip: Clip, texts: Sequence[Sequence[str]], class_names: Sequence[str]) -> list[Tensor]:
    """For each class the embeddings of its texts, (texts, width), unit norm. Raises InputError as above."""
    owners = [name for name, own in zip(class_names, texts, strict=True) for _ in own]
    features = text_features(clip, [text for own in texts for text in own], owners)
    return list(torch.split(features, [len(own) for own in texts]))


def text_scores(
    clip: Clip,
    texts: ClassTexts,
    descriptors: Sequence[Sequence[str]],
    controls: Sequence[ClassTexts] = (),
) -> TextScores:
    """The scores of a set for `clip`: of its class texts, and of each class's descriptors, in label order.

    The controls have texts for the same classes. Raises InputError for a text that does not fit, and for a
    single class.
    """
    if len(texts.class_names) < 2:
        raise InputError(f"{texts.name} has a single class; scores need two or more")
    weights = _weights(clip, texts)
    likeness = {
        control.name: float((weights * _weights(clip, control)).sum(dim=-1).mean()) for control in controls
    }
    listed = [list(dict.fromkeys(own)) for own in descriptors]
    return TextScores(
        name=texts.name,
        class_names=texts.class_names,
        cosines=(weights @ weights.T).double().numpy(),
        classes=tuple(_class_scores(clip, texts.class_names, listed)),
        controls=likeness,
    )


def _weights(clip: Clip, texts: ClassTexts) -> Tensor:
    """The zero-shot class weights (classes, width), unit norm."""
    means = [each.mean(dim=0) for each in class_features(clip, texts.texts, texts.class_names)]
    return F.normalize(torch.stack(means), dim=-1)


def _class_scores(
    clip: Clip, class_names: Sequence[str], descriptors: Sequence[Sequence[str]]
) -> list[ClassScores]:
    features = class_features(clip, descriptors, class_names)
    cosines = [[(own @ other.T).double().numpy() for other in features] for own in features]
    users = Counter(text for own in descriptors for text in {each.casefold() for each in own})
    scores = []
    for label, (name, own) in enumerate(zip(class_names, descriptors, strict=True)):
        within = cosines[label][label]
        others = np.concatenate([each for at, each in enumerate(cosines[label]) if at != label], axis=1)
        pairs = list(itertools.combinations(range(len(own)), 2))
        alone = np.where(np.eye(len(own), dtype=bool), -np.inf, within)
        scores.append(
            ClassScores(
                class_name=name,
                descriptors=len(own),
                spread=float(1 - np.mean([within[pair] for pair in pairs])) if pairs else None,
                strays=float((others.max(axis=1) > alone.max(axis=1)).mean()) if pairs else None,
                shared=sum(users[each.casefold()] > 1 for each in own) / len(own),
                near_identical=tuple(
                    Likeness(own[first], own[second], float(within[first, second]))
                    for first, second in pairs
                    if within[first, second] >= NEAR_IDENTICAL
                ),
            )
        )
    return scores


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
