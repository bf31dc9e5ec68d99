"""Batches of uint8 frames from packed clips, samplers, and pixel normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
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
from dfer_model.data.resampling import AT_ONCE, one_behind_another
from dfer_model.data.streaming import Streamed
from dfer_model.distributed import ALONE, Processes
from dfer_model.errors import InputError

from .worker_monitor import Readers


@dataclass(frozen=True)
class PixelScale:
    """Normalisation of uint8 frames for the image tower: pixels in 0..1, then (pixels - mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uint8 frames (..., 3, H, W) as normalised floats of the same shape, on the same device.

        For another format than float32, each pixel is computed in float32 and rounded once, part by part,
        without a float32 copy of the batch. It is the rounded float32 pixel, or its neighbour.
        """
        if dtype != torch.float32:
            return self._rounded(frames, dtype)
        pixels = frames / 255
        if self.mean == (0.0, 0.0, 0.0) and self.std == (1.0, 1.0, 1.0):
            return pixels
        mean, std = (_channels(values, pixels.device) for values in (self.mean, self.std))
        return pixels.sub_(mean).div_(std)

    def _rounded(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        slopes = tuple(1 / (255 * deviation) for deviation in self.std)
        offsets = tuple(-mean / deviation for mean, deviation in zip(self.mean, self.std, strict=True))
        slope, offset = (_channels(values, frames.device) for values in (slopes, offsets))
        pixels = torch.empty(frames.shape, dtype=dtype, device=frames.device)
        for place, part in zip(torch.split(pixels, AT_ONCE), torch.split(frames, AT_ONCE), strict=True):
            torch.addcmul(offset, part, slope, out=place)
        return pixels


def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(3, 1, 1) on the device; pinned, so that the copy does not wait for the GPU."""
    made = torch.tensor(values).view(3, 1, 1)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made.to(device)


def pixel_scale(normalize: str, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelScale:
    """The scale for `normalize`: `clip` uses CLIP's mean and standard deviation, `none` leaves 0..1."""
    if normalize == "none":
        return PixelScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return PixelScale((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


class Shuffled(Sampler[int]):
    """The positions 0..len-1 in an order that depends on (seed, epoch) only."""

    def __init__(self, clips: Sized, seed: int) -> None:
        self.clips, self.seed, self.epoch = clips, seed, 0

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        yield from torch.randperm(len(self.clips), generator=generator).tolist()


class ClassBalanced(Sampler[tuple[int, int]]):
    """As many draws as clips, every class equally often, in an order that depends on (seed, epoch) only.

    Clips of frequent classes are partly left out of an epoch, those of rare classes are repeated: a draw is
    (position, number of earlier draws). The remainder of the division is assigned to random classes.
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
            count = each + (rank < left)
            rounds = [
                (int(positions[place]), time)
                for time in range(math.ceil(count / len(positions)))
                for place in shuffled(len(positions))
            ]
            draws += rounds[:count]
        yield from (draws[place] for place in shuffled(len(draws)))


Order = Shuffled | ClassBalanced | Streamed


class ShareOfEach(Sampler[list[Any]]):
    """The slice `mine` of each batch; with `ahead`, preceded by the clip before it.

    The clip before a batch's first is its last.
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
    """One seed for (seed, epoch); epochs of different seeds get different values."""
    return (seed * 1_000_003 + epoch) % 2**63


class _Readable(Dataset[Any]):
    """A clip, or the InputError raised while reading it.

    A DataLoader replaces the message of a worker's error by its whole traceback; returned as a value, the
    error keeps its message.
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

    In the order of `sampler`, without a last smaller batch; without a sampler, all clips in the dataset's
    order. With several `processes` each gets its share of every batch, with `mixed` preceded by the clip
    before it. `given` are the positions of each batch, instead of all of these. `pin` pins the memory of
    batches for copies to a GPU. Workers are kept for the next iteration with a sampler or `keep`. For
    DecodedClips also {"draw", "sizes"}, with frames as by `one_behind_another`. Iterating raises InputError
    for a clip that cannot be read, LostError if the system ended a worker.
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
        pin: bool = False,
        given: Sequence[Sequence[int]] | None = None,
        keep: bool = False,
    ) -> None:
        order: Sampler[Any] = SequentialSampler(dataset) if sampler is None else sampler
        whole = BatchSampler(order, batch_size, drop_last=sampler is not None)
        share = processes.share(batch_size)
        several = sampler is not None and processes.count > 1
        batches: Any = ShareOfEach(whole, share, ahead=mixed) if several else whole
        if given is not None:
            batches = given
        self.readers = Readers(dataset, workers)
        self.loader: DataLoader[Any] = DataLoader(
            _Readable(dataset, self.readers),
            batch_sampler=batches,
            num_workers=workers,
            persistent_workers=workers > 0 and (keep or sampler is not None),
            pin_memory=pin,
            collate_fn=_collate,
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self.readers.given(self.loader):
            if isinstance(batch, InputError):
                raise batch
            yield batch
