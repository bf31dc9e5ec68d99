"""Clips from the disk to the device: batches of uint8 frames, made into the pixels an image tower takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    Sampler,
    SequentialSampler,
    default_collate,
)

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.resampling import one_behind_another
from dfer_model.data.stream_sampler import Streamed
from dfer_model.distributed import ALONE, Processes
from dfer_model.errors import InputError

from .worker_monitor import Readers


@dataclass(frozen=True)
class PixelScale:
    """How uint8 frames become what the image tower is given: pixels in 0..1, then minus `mean` over `std`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (..., 3, H, W) of uint8 as floats of the same shape, on the device they are on."""
        pixels = frames.float() / 255
        mean, std = (_channels(values, pixels.device) for values in (self.mean, self.std))
        return (pixels - mean) / std


def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(3, 1, 1) on the device; a GPU is not waited for, as it is for memory that is not pinned."""
    made = torch.tensor(values).view(3, 1, 1)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made.to(device)


def pixel_scale(normalize: str, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelScale:
    """The scale for `normalize`: `clip` uses CLIP's mean and standard deviation, `none` leaves 0..1."""
    if normalize == "none":
        return PixelScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return PixelScale((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


class Shuffled(Sampler[int]):
    """The positions 0..len-1 in an order that comes from (seed, epoch) alone."""

    def __init__(self, clips: Sized, seed: int) -> None:
        self.clips, self.seed, self.epoch = clips, seed, 0

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        yield from torch.randperm(len(self.clips), generator=generator).tolist()


class ClassBalanced(Sampler[tuple[int, int]]):
    """As many draws as there are clips, every class equally often, in an order from (seed, epoch) alone.

    Of a class with many clips some are left out of an epoch, of one with few each comes again: a draw is
    (position, how often it came before). What the classes' number leaves over goes to classes at random.
    """

    def __init__(self, labels: npt.NDArray[np.int64], seed: int) -> None:
        self.labels, self.seed, self.epoch = labels, seed, 0

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))

        def shuffled(length: int) -> list[int]:
            order: list[int] = torch.randperm(length, generator=generator).tolist()
            return order

        of_class = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        each, left = divmod(len(self.labels), len(of_class))
        draws: list[tuple[int, int]] = []
        for number, rank in enumerate(shuffled(len(of_class))):
            positions = of_class[number]
            wanted = each + (rank < left)
            rounds = [
                (int(positions[place]), time)
                for time in range(math.ceil(wanted / len(positions)))
                for place in shuffled(len(positions))
            ]
            draws += rounds[:wanted]
        yield from (draws[place] for place in shuffled(len(draws)))


Order = Shuffled | ClassBalanced | Streamed


class ShareOfEach(Sampler[list[Any]]):
    """Of each batch of `batches` the places `mine`, and with `ahead` first the one before them.

    The one before a batch's first is its last.
    """

    def __init__(self, batches: BatchSampler, mine: slice, *, ahead: bool) -> None:
        self.batches, self.mine, self.ahead = batches, mine, ahead

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in self.batches:
            before = [batch[self.mine.start - 1]] if self.ahead else []
            yield [*before, *batch[self.mine]]


def epoch_seed(seed: int, epoch: int) -> int:
    """One number for (seed, epoch), so that the epochs of one seed are not those of the next."""
    return (seed * 1_000_003 + epoch) % 2**63


class _From(Sampler[list[Any]]):
    """The batches of `batches` from number `first` on; no clip of those before is read."""

    def __init__(self, batches: Sampler[list[Any]] | BatchSampler) -> None:
        self.batches, self.first = batches, 0

    def __len__(self) -> int:
        return max(0, len(self.batches) - self.first)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Any]]:
        yield from islice(self.batches, self.first, None)


class _Readable(Dataset[Any]):
    """A clip, or the InputError that its reading raised.

    A DataLoader puts a worker's whole traceback into the message of what it raises again; as a value the
    sentence arrives as it was written.
    """

    def __init__(self, dataset: ClipDataset, readers: Readers) -> None:
        self.dataset, self.readers = dataset, readers

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int | tuple[int, int]) -> dict[str, Any] | InputError:
        self.readers.take(position[0] if isinstance(position, tuple) else position)
        try:
            return self.dataset[position]
        except InputError as error:
            return error


def _collate(samples: list[dict[str, Any] | InputError]) -> dict[str, Tensor] | InputError:
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
    clips = [sample for sample in samples if not isinstance(sample, InputError)]
    if "draw" not in clips[0]:
        collated: dict[str, Tensor] = default_collate(clips)
        return collated
    return {**one_behind_another([clip.pop("frames") for clip in clips]), **default_collate(clips)}


class Batches:
    """Batches of a ClipDataset, read by `workers` processes: {"frames": uint8, "label", "index"}.

    In the order of `sampler`, a last smaller batch left out; without one in the dataset's order, all of it.
    Of several `processes` each has its share of every batch; where `mixed`, the clip before it comes first.
    Of DecodedClips also {"draw", "sizes"}, and frames as `one_behind_another` joins them. Iterating raises
    InputError for a clip that cannot be read, LostError where the system ended a worker.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int,
        *,
        workers: int,
        sampler: Order | None = None,
        processes: Processes = ALONE,
        mixed: bool = False,
    ) -> None:
        order: Sampler[Any] = SequentialSampler(dataset) if sampler is None else sampler
        whole = BatchSampler(order, batch_size, drop_last=sampler is not None)
        share = processes.share(batch_size)
        several = sampler is not None and processes.count > 1
        self.order = _From(ShareOfEach(whole, share, ahead=mixed) if several else whole)
        self.readers = Readers(dataset, workers)
        self.loader: DataLoader[Any] = DataLoader(
            _Readable(dataset, self.readers),
            batch_sampler=self.order,
            num_workers=workers,
            persistent_workers=workers > 0 and sampler is not None,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_collate,
        )

    def __len__(self) -> int:
        return len(self.loader)

    def start_at(self, batch: int) -> None:
        """Iterate from this batch of the order on, 0 being the first; no clip before it is read."""
        self.order.first = batch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self.readers.given(self.loader):
            if isinstance(batch, InputError):
                raise batch
            yield batch
