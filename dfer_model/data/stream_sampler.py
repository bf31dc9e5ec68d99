"""The order of streamed clips, which depends on (seed, epoch) only.

A stream is read sequentially, so clips cannot be in arbitrary order. Instead the shards, concatenated in
random order, are cut into pieces of equal length, called lanes. Within a lane, each window of `WINDOW`
consecutive clips is shuffled, and every batch takes the next clips of every lane, so it mixes clips from as
many places as there are lanes. Lanes are distributed over processes and workers, whose number does not affect
the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

LANES = 16
WINDOW = 64

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lane:
    """A lane: its positions in the order of the shards, and in drawing order."""

    read: Integers
    drawn: Integers
    share: int  # number of its clips in each batch


class Streamed(Sampler[int]):
    """The positions 0..len-1 of clips in `shards` (the shard of each, ascending), in lanes.

    Only whole batches; the clips that are left over differ in each epoch.
    """

    def __init__(self, shards: Integers, batch_size: int, seed: int) -> None:
        self.shards, self.batch_size, self.seed, self.epoch = shards, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.shards)

    def __iter__(self) -> Iterator[int]:
        lanes = self.lanes(self.epoch)
        for step in range(len(self.shards) // self.batch_size):
            for lane in lanes:
                yield from lane.drawn[step * lane.share : (step + 1) * lane.share].tolist()

    def lanes(self, epoch: int) -> list[Lane]:
        """The lanes of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        places = [np.flatnonzero(self.shards == shard) for shard in rng.permutation(np.unique(self.shards))]
        steps = len(self.shards) // self.batch_size
        shares = _shares(self.batch_size, min(LANES, self.batch_size))
        ends = np.cumsum([steps * share for share in shares])
        pieces = np.split(np.concatenate(places)[: ends[-1]], ends[:-1])
        return [
            Lane(piece, _shuffled(piece, rng), share) for piece, share in zip(pieces, shares, strict=True)
        ]


class InOrder:
    """All positions once, in lanes without shuffling, for evaluation."""

    def __init__(self, positions: Integers, batch_size: int) -> None:
        self.positions, self.batch_size = positions, batch_size

    def __len__(self) -> int:
        return len(self.positions)

    def lanes(self, _epoch: int) -> list[Lane]:
        """The same lanes in every epoch; some may have no clip in the last batch."""
        shares = _shares(self.batch_size, min(LANES, self.batch_size))
        ends = len(self.positions) * np.cumsum(shares) // self.batch_size
        pieces = np.split(self.positions, ends[:-1])
        return [Lane(piece, piece, share) for piece, share in zip(pieces, shares, strict=True)]


def _shares(batch_size: int, lanes: int) -> list[int]:
    """The number of clips of a batch from each lane; they differ by at most one."""
    return [len(part) for part in np.array_split(np.arange(batch_size), lanes)]


def _shuffled(piece: Integers, rng: np.random.Generator) -> Integers:
    windows = [rng.permutation(piece[start : start + WINDOW]) for start in range(0, len(piece), WINDOW)]
    return np.concatenate(windows) if windows else piece
