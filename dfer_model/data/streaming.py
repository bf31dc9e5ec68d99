"""Packed clips on the Hugging Face Hub or in an object store, read by streaming.

Nothing is copied to the disk. The index describes the clips; frames are read shard by shard, through
`datasets` streaming, in an order that depends on (seed, epoch) only.

A stream is read sequentially, so clips cannot be in arbitrary order. Instead the shards, concatenated in
random order, are cut into pieces of equal length, called lanes. Within a lane, each window of `WINDOW`
consecutive clips is shuffled, and every batch takes the next clips of every lane, so it mixes clips from as
many places as there are lanes. Lanes are distributed over processes and workers, whose number does not affect
the order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch.utils.data import Sampler

from ..errors import InputError, WorkError
from .index import Index, read_index
from .packed import PackedClips

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


# `iter` with a batch size, unlike plain iteration, lets the caller assign shards to workers.
READ_CLIPS = 16


class StreamedClips(PackedClips):
    """Packed clips at a URL: `hf://datasets/ME/NAME`, `s3://...`, `gs://...`, `file://...`.

    Everything in PackedClips except frames; a clip's frames are available only during its turn in the stream.
    """

    def __init__(self, url: str, index: Index) -> None:
        self.path = self.url = url.rstrip("/")
        self.index = index
        self.class_names = index.class_names
        self.clip_ids, self.sources = index.clip_ids, index.sources
        self.labels, self.folds, self.num_frames = index.labels, index.folds, index.num_frames
        self.report, self.fingerprint, self.shards = index.report, index.fingerprint, index.shards
        self.votes = index.votes
        self._turn: tuple[int, pa.ListScalar] | None = None

    @classmethod
    def open(cls, path: object) -> StreamedClips:
        """The clips at a URL. Raises InputError if there are none, or they cannot be reached."""
        url = str(path)
        datasets.disable_progress_bars()  # otherwise one progress bar per shard
        return cls(url, read_index(url.rstrip("/")))

    @property
    def name(self) -> str:
        """The dataset's name from prepare.json, else the last part of the URL."""
        return str(self.report.get("dataset") or self.url.rpartition("/")[2])

    def _shard_names(self) -> Sequence[str]:
        return self.index.shard_names

    def _sha256(self, name: str) -> str:
        """The digest of a remote file of clips. Raises WorkError if it cannot be read."""
        import fsspec

        url = f"{self.url}/{name}"
        try:
            with fsspec.open(url) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            return ""
        except Exception as error:  # each kind of store has its own errors
            raise _unreadable(url, error) from error

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        """The requested frames of the clip whose turn it is. Raises InputError for another clip."""
        if self._turn is None or self._turn[0] != index:
            raise InputError(
                f"{self.path} is streamed, so clip {self.clip_ids[index]} cannot be read separately\n"
                "Copy the packed clips to this machine for this"
            )
        values = self._turn[1].values
        return [values[int(frame)].as_py() for frame in indices]

    @contextmanager
    def turn_of(self, index: int, frames: pa.ListScalar) -> Iterator[None]:
        """A context in which `frames` are those of clip `index`."""
        self._turn = index, frames
        try:
            yield
        finally:
            self._turn = None

    def stream(self, lane: Lane, indices: Integers) -> Iterator[tuple[int, pa.ListScalar]]:
        """A lane's positions in drawing order, each with its clip's encoded frames.

        `indices` are the clips of the positions. One window of encoded clips is in memory. Raises WorkError
        if a shard cannot be read.
        """
        rows = self._rows(lane.read, indices)
        for start in range(0, len(lane.read), WINDOW):
            held = dict(islice(rows, WINDOW))
            for position in lane.drawn[start : start + WINDOW].tolist():
                yield position, held.pop(position)

    def _rows(self, positions: Integers, indices: Integers) -> Iterator[tuple[int, pa.ListScalar]]:
        """The positions in the order of the shards, which are opened in sequence."""
        for shard, within in groupby(positions.tolist(), key=lambda at: int(self.shards[indices[at]])):
            first = int(np.searchsorted(self.shards, shard))
            selected = {int(indices[position]) - first: position for position in within}
            for row, frames in enumerate(self._shard(shard, max(selected) + 1)):
                if row not in selected:
                    continue
                if frames.values is None or len(frames.values) != self.num_frames[first + row]:
                    raise InputError(
                        f"clip {self.clip_ids[first + row]} at {self.url} has a number of frames that "
                        "differs from the index\nPack the clips again and copy the whole folder"
                    )
                yield selected[row], frames

    def _shard(self, shard: int, rows: int) -> Iterator[pa.ListScalar]:
        url = f"{self.url}/{self.index.shard_names[shard]}"
        try:
            stream = datasets.load_dataset("arrow", data_files=url, split="train", streaming=True)
            tables = stream.select_columns(["frames"]).with_format("arrow").iter(batch_size=READ_CLIPS)
            yield from islice((frames for table in tables for frames in _checked(table["frames"])), rows)
        except Exception as error:  # each kind of store has its own errors
            raise _unreadable(url, error) from error


def _checked(frames: pa.ChunkedArray) -> pa.ChunkedArray:
    """The frames of some clips, checked for bounds. Raises ArrowException if one is out of bounds."""
    frames.validate(full=True)
    return frames


def _unreadable(url: str, error: Exception) -> WorkError:
    return WorkError(
        f"{url} cannot be read: {' '.join(str(error).split())}\n"
        "Give the same command again to continue when the network is back and the shard is whole"
    )
