"""Choosing descriptors by the zero-shot score of CLIP on labelled clips: greedy search, then swaps.

The score is the zero-shot UAR, as `compare` prints it, of the sentence that joins a class's descriptors: that
sentence is what a model is given. Ties are common; they go to the larger log-likelihood of the true classes,
averaged over the clips of a class and then over classes. The score on the clips of the search is
optimistically biased; test the result on other clips.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from dfer_model.comparison.statistics import uar_weights
from dfer_model.errors import InputError
from dfer_model.models.dfer_clip import TEMPERATURE
from dfer_model.progress import Report, silent

from .zero_shot import Videos

Encode = Callable[[Sequence[str], str], Tensor]  # sentences, their class -> (sentences, width), unit norm
Join = Callable[[Sequence[str]], str]
Choice = tuple[int, ...]  # which of a class's candidates, ascending: the set's own order
Score = tuple[float, float]  # UAR in percent, log-likelihood

DIGITS = 9  # smaller gains are rounding errors, and could make the swaps cycle


@dataclass(frozen=True)
class Step:
    """One accepted move and the score after it."""

    move: str  # "first", "add" or "swap"
    class_name: str
    added: str
    removed: str | None
    uar: float
    log_likelihood: float


@dataclass(frozen=True)
class Found:
    """The choice, a local optimum: no swap of one descriptor for another of its class is better.

    `chosen` are the descriptors of each class, in label order and in the given order; `start` is the score
    of each class's first k. `not_searched` are the classes without clips, which keep their first k.
    """

    chosen: tuple[tuple[str, ...], ...]
    start: Score
    score: Score
    steps: tuple[Step, ...]
    sentences: int  # how many were scored
    not_searched: tuple[str, ...]


def search(
    videos: Videos,
    class_names: Sequence[str],
    candidates: Sequence[Sequence[str]],
    k: int,
    encode: Encode,
    join: Join,
    *,
    seed: int = 1,
    report: Report = silent,
) -> Found:
    """Choose `k` of each class's `candidates` (in label order) by the zero-shot score on `videos`.

    Greedy: each class in turn gets the descriptor with the best score, then a second, until each has k. Then
    single descriptors are swapped as long as the score rises. `seed` orders the classes. Raises InputError
    for a class with fewer than k candidates, and if there is nothing to choose.
    """
    _check(class_names, candidates, k)
    task = _Search(videos, class_names, candidates, encode, join)
    occurring = np.unique(videos.labels).tolist()
    choices: list[Choice] = [tuple(range(k)) for _ in class_names]
    start = task.set(choices)
    for label in occurring:
        choices[label] = (0,)
    task.set(choices)
    draw = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    steps: list[Step] = []
    for size in range(1, k + 1):
        for done, label in enumerate(draw.sample(occurring, len(occurring))):
            report((size - 1) * len(occurring) + done, k * len(occurring), f"descriptor {size} of {k}")
            steps.append(task.take(label, task.larger(label, size), "first" if size == 1 else "add"))
    improving = True
    while improving:
        improving = False
        for label in draw.sample(occurring, len(occurring)):
            report(k * len(occurring), k * len(occurring), f"swaps: {steps[-1].uar:.2f} UAR")
            swaps = task.swapped(label)
            if swaps and task.best(label, swaps)[0] > task.score:
                steps.append(task.take(label, swaps, "swap"))
                improving = True
    return Found(
        chosen=tuple(
            tuple(own[at] for at in choice) for own, choice in zip(candidates, task.choices, strict=True)
        ),
        start=start,
        score=task.score,
        steps=tuple(steps),
        sentences=len(task.features),
        not_searched=tuple(name for label, name in enumerate(class_names) if label not in occurring),
    )


def _check(class_names: Sequence[str], candidates: Sequence[Sequence[str]], k: int) -> None:
    if k < 1:
        raise InputError(f"k is {k}: choose 1 or more descriptors per class")
    for name, own in zip(class_names, candidates, strict=True):
        if len(own) < k:
            raise InputError(f"the class {name!r} has {len(own)} descriptors, fewer than {k}")
    if all(len(own) == k for own in candidates):
        raise InputError(
            f"every class has {k} descriptors, so there is nothing to choose; choose a smaller k"
        )


class _Search:
    """The current choice with its cosines, and the scores of alternatives for one class."""

    def __init__(
        self,
        videos: Videos,
        class_names: Sequence[str],
        candidates: Sequence[Sequence[str]],
        encode: Encode,
        join: Join,
    ) -> None:
        # In float32 a different order of summation could look like a gain.
        self.videos = videos.features.double()
        self.class_names, self.candidates = class_names, candidates
        self.encode, self.join = encode, join
        self.features: dict[tuple[int, Choice], Tensor] = {}  # of every sentence scored so far
        self.labels = torch.from_numpy(videos.labels)
        self.uar = uar_weights(videos.labels, videos.folds)
        _, inverse, counts = np.unique(videos.labels, return_inverse=True, return_counts=True)
        self.balance = torch.from_numpy(1 / (len(counts) * counts[inverse]))  # sums to 1

    def set(self, choices: Sequence[Choice]) -> Score:
        """Start from these choices; returns their score."""
        self.choices = list(choices)
        weights = torch.cat([self._encoded(label, [choice]) for label, choice in enumerate(choices)])
        self.cosines = self.videos @ weights.T  # (clips, classes)
        self.score = self._scored(self.cosines)
        return self.score

    def larger(self, label: int, size: int) -> list[Choice]:
        """Every choice of `size` that adds one candidate to the class's; for size 1, each candidate."""
        held = self.choices[label] if size > 1 else ()
        every = range(len(self.candidates[label]))
        return [tuple(sorted((*held, at))) for at in every if at not in held]

    def swapped(self, label: int) -> list[Choice]:
        """Every choice with one of the class's descriptors replaced."""
        held = self.choices[label]
        free = [at for at in range(len(self.candidates[label])) if at not in held]
        return [tuple(sorted((*(at for at in held if at != out), into))) for out in held for into in free]

    def best(self, label: int, options: Sequence[Choice]) -> tuple[Score, Choice, Tensor]:
        """The best option for one class, the first of equals: (score, choice, cosines)."""
        columns = (self.videos @ self._encoded(label, options).T).T  # (options, clips)
        scores = [self._scored(self._with(label, column)) for column in columns]
        at = max(range(len(options)), key=lambda index: (scores[index], -index))
        return scores[at], options[at], columns[at]

    def take(self, label: int, options: Sequence[Choice], move: str) -> Step:
        """Apply the best of the options, even if it is not better than the current choice."""
        held = set() if move == "first" else set(self.choices[label])
        self.score, choice, column = self.best(label, options)
        self.choices[label], self.cosines = choice, self._with(label, column)
        own = self.candidates[label]
        (added,) = set(choice) - held
        removed = next((own[at] for at in held - set(choice)), None)
        return Step(move, self.class_names[label], own[added], removed, *self.score)

    def _with(self, label: int, column: Tensor) -> Tensor:
        cosines = self.cosines.clone()
        cosines[:, label] = column
        return cosines

    def _encoded(self, label: int, options: Sequence[Choice]) -> Tensor:
        """(options, width); each sentence is encoded once."""
        new = [choice for choice in options if (label, choice) not in self.features]
        if new:
            sentences = [self.join([self.candidates[label][at] for at in choice]) for choice in new]
            encoded = self.encode(sentences, self.class_names[label]).double()
            self.features |= {(label, choice): row for choice, row in zip(new, encoded, strict=True)}
        return torch.stack([self.features[label, choice] for choice in options])

    def _scored(self, cosines: Tensor) -> Score:
        right = (cosines.argmax(dim=1) == self.labels).numpy()
        likelihoods = F.log_softmax(cosines / TEMPERATURE, dim=1)
        true = likelihoods.gather(1, self.labels[:, None])[:, 0]
        return round(float(right @ self.uar), DIGITS), round(float(true @ self.balance), DIGITS)
