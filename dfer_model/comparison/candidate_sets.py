"""Fast zero-shot scores of many description sets on the same clips, for a search over sets.

Each distinct class text is encoded once, and its cosines with all clips are kept. A set then costs a lookup
of one row per class, a maximum and a sum over the rows.

The objective is the zero-shot UAR as `compare` prints it, plus a margin term: `MARGIN_WEIGHT` points per nat
of the log-likelihood of the true class, averaged over the clips of a class and then over classes. The margin
separates sets of equal UAR, as the entropy-constrained fitness of ProAPO does (Qu et al., CVPR 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfer_model.models.dfer_clip import TEMPERATURE

from .statistics import Difference, Interval, bootstrap_sums, figure_interval, paired_difference, uar_weights
from .zero_shot import Videos

Encode = Callable[[Sequence[str]], Tensor]  # texts -> (texts, width), unit norm
Set = Sequence[str]  # a text per class, in label order

MARGIN_WEIGHT = 2.0
LARGEST = 80.0  # exponent: float32 holds exp(-80) to exp(80)


@dataclass(frozen=True)
class SetScore:
    """Zero-shot UAR in percent, and the mean log-likelihood of the true class in nats."""

    uar: float
    log_likelihood: float

    @property
    def objective(self) -> float:
        """What the search maximises."""
        return self.uar + MARGIN_WEIGHT * self.log_likelihood


class CandidateSets:
    """Scores of sets on `videos`. `encode` is called for texts that no earlier set had."""

    def __init__(self, videos: Videos, encode: Encode) -> None:
        # Clips are sorted by class, so that the clips of a class are a slice.
        order = np.lexsort((videos.folds, videos.labels))
        self.features = videos.features[order].float()
        self.labels, self.folds = videos.labels[order], videos.folds[order]
        self.encode = encode
        self.weights = uar_weights(self.labels, self.folds)
        changes = (np.diff(self.labels) != 0) | (np.diff(self.folds) != 0)
        self.strata = np.concatenate([[0], np.flatnonzero(changes) + 1])
        self.stratum_weights = self.weights[self.strata]
        classes, counts = np.unique(self.labels, return_counts=True)
        self.balance = np.repeat(1 / (len(classes) * counts), counts)  # sums to 1
        ends = np.cumsum(counts)
        starts = ends - counts
        self.slices = {
            int(label): slice(int(start), int(end))
            for label, start, end in zip(classes, starts, ends, strict=True)
        }
        self.rows: dict[str, int] = {}
        clips = len(self.labels)
        self.cosines = np.empty((0, clips), np.float32)  # (texts, clips)
        self.exponentials = np.empty((0, clips), np.float32)  # of the logits, shifted by a constant per clip
        self.shift: NDArray[np.float32] | None = None

    def scores(self, sets: Sequence[Set]) -> list[SetScore]:
        """The score of each set."""
        self._add([text for each in sets for text in each])
        found = []
        for each in sets:
            correct, likelihood = self._per_clip(each)
            counts = np.add.reduceat(correct, self.strata, dtype=np.int64)
            uar = float(counts @ self.stratum_weights)
            found.append(SetScore(uar, float(likelihood @ self.balance)))
        return found

    def score(self, of: Set) -> SetScore:
        """The score of one set."""
        return self.scores([of])[0]

    def correct(self, of: Set) -> NDArray[np.bool_]:
        """Which clips (clips,) the set predicts correctly; clips are sorted by class, then fold."""
        self._add(of)
        return self._per_clip(of)[0]

    def predicted(self, of: Set) -> NDArray[np.int64]:
        """The predicted labels (clips,), clips as in `labels`; of equal cosines the first class."""
        self._add(of)
        labels: NDArray[np.int64] = self.cosines[[self.rows[text] for text in of]].argmax(axis=0)
        return labels

    def uar(self, of: Set) -> Interval:
        """The UAR in percent, with a bootstrap interval over the clips."""
        return figure_interval(self.correct(of), self.weights, self.labels, self.folds)

    def gain(self, new: Set, old: Set) -> Difference:
        """The UAR of `new` minus that of `old`, with a paired bootstrap interval over the clips."""
        first, second = self.correct(new)[None], self.correct(old)[None]
        return paired_difference(first, second, self.weights, self.labels, self.folds)

    def chance_of_no_gain(self, new: Set, old: Set) -> float:
        """The share of paired bootstrap samples of the clips in which the objective does not rise."""
        self._add([*new, *old])
        (right, likely), (before, unlikely) = self._per_clip(new), self._per_clip(old)
        parts = self.weights * (right.astype(np.float64) - before)
        parts += MARGIN_WEIGHT * self.balance * (likely.astype(np.float64) - unlikely)
        return float((bootstrap_sums(parts, self.labels, self.folds) <= 0).mean())

    def _per_clip(self, of: Set) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Whether each clip is predicted correctly, and the log-likelihood of its class."""
        rows = [self.rows[text] for text in of]
        clips = len(self.labels)
        true, own = np.empty(clips, np.float32), np.empty(clips, np.float32)
        correct = np.ones(clips, np.bool_)
        largest, total = self.cosines[rows[0]].copy(), np.zeros(clips, np.float32)
        for label, row in enumerate(rows):
            part = self.slices.get(label)
            if part is not None:
                true[part], own[part] = self.cosines[row, part], self.exponentials[row, part]
                if label:  # of equal cosines the first class is predicted
                    np.greater(true[part], largest[part], out=correct[part])
            np.maximum(largest, self.cosines[row], out=largest)
            total += self.exponentials[row]
        correct &= true >= largest
        return correct, np.log(own) - np.log(total)

    def _add(self, texts: Sequence[str]) -> None:
        """Encode the texts that are new, together."""
        new = [text for text in dict.fromkeys(texts) if text not in self.rows]
        if not new:
            return
        cosines = (self.encode(new).float() @ self.features.T).numpy()
        if self.shift is None:
            self.shift = cosines.max(axis=0)
        logits = np.clip((cosines - self.shift) / TEMPERATURE, -LARGEST, LARGEST)
        self.rows |= {text: len(self.rows) + at for at, text in enumerate(new)}
        self.cosines = np.concatenate([self.cosines, cosines])
        self.exponentials = np.concatenate([self.exponentials, np.exp(logits, dtype=np.float32)])


def each_encoded_once(encode: Encode) -> Encode:
    """`encode`, called only for texts that it has not encoded yet."""
    known: dict[str, Tensor] = {}

    def encoded(texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encode(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return encoded


def split_clips(videos: Videos, share: float, seed: int) -> tuple[Videos, Videos]:
    """The clips in two parts: those that choose, and those that confirm.

    Of several folds, one drawn by `seed` confirms: other folds may have other people, whereas a random split
    shares them. Of one fold, `share` of the clips of each class confirm, none of a class with a single clip.
    """
    rng = np.random.default_rng(seed)
    folds = np.unique(videos.folds)
    if len(folds) > 1:
        held = videos.folds == rng.choice(folds)
        return _part(videos, ~held), _part(videos, held)
    held = np.zeros(len(videos.labels), np.bool_)
    for label in np.unique(videos.labels):
        here = np.flatnonzero(videos.labels == label)
        count = min(max(1, round(share * len(here))), len(here) - 1)
        if count > 0:
            held[rng.choice(here, count, replace=False)] = True
    return _part(videos, ~held), _part(videos, held)


def _part(videos: Videos, mask: NDArray[np.bool_]) -> Videos:
    return Videos(videos.features[mask], videos.labels[mask], videos.folds[mask])
