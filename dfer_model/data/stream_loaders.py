"""Batches of streamed clips: as `Batches`, but each worker reads its own lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.streaming import InOrder, Lane, Streamed, StreamedClips
from dfer_model.distributed import ALONE, Processes
from dfer_model.errors import DferError, InputError

from .loaders import Batches, Order
from .worker_monitor import Readers

Given = TypeVar("Given")
Made = TypeVar("Made")
Part = list[tuple[int, dict[str, Any]]]  # clips of one batch, each with its position in it


def batches_of(
    dataset: ClipDataset,
    batch_size: int,
    *,
    workers: int,
    sampler: Order | None = None,
    processes: Processes = ALONE,
    mixed: bool = False,
    pin: bool = False,
    keep: bool = False,
) -> Batches | StreamedBatches:
    """The batches of clips, as `Batches` describes them, from the disk or from a stream.

    Raises InputError for an order that streaming does not support.
    """
    if not isinstance(dataset.clips, StreamedClips):
        return Batches(
            dataset,
            batch_size,
            workers=workers,
            sampler=sampler,
            processes=processes,
            mixed=mixed,
            pin=pin,
            keep=keep,
        )
    if not isinstance(sampler, Streamed | None):
        raise InputError(
            f"{dataset.clips.path} is streamed, which determines the order of its clips\n"
            "Train with --set sampling=streamed, or copy the clips to this machine"
        )
    places = range(batch_size)[processes.share(batch_size)] if sampler else range(batch_size)
    ahead = [(places.start - 1) % batch_size] if mixed and len(places) < batch_size else []
    return StreamedBatches(
        dataset,
        dataset.clips,
        batch_size,
        workers=workers,
        order=sampler,
        places=[*ahead, *places],
        pin=pin,
        keep=keep,
    )


class StreamedBatches:
    """Batches of a ClipDataset over StreamedClips: {"frames": uint8, "label", "index"}.

    In the order of `order`; without it, all clips in an order given by "index". Each batch contains the clips
    at `places` of the whole batch; lanes without any of them are not read. Iterating raises InputError for a
    clip that cannot be decoded, WorkError for a shard that cannot be read, LostError if the system ended a
    worker.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        clips: StreamedClips,
        batch_size: int,
        *,
        workers: int,
        order: Streamed | None,
        places: Sequence[int],
        pin: bool = False,
        keep: bool = False,
    ) -> None:
        self.pin = pin
        lanes = order or InOrder(np.argsort(dataset.indices), batch_size)
        # Only full batches in training, all clips in evaluation.
        self.steps = len(lanes) // batch_size if order else -(-len(lanes) // batch_size)
        self.rank = {place: rank for rank, place in enumerate(places)}
        self.readers = Readers(dataset, workers)
        reading = _Reading(dataset, clips, lanes, frozenset(places), self.steps, self.readers)
        self.parts = max(1, min(workers, len(reading.own(0))))
        self.loader: DataLoader[Any] = DataLoader(
            reading,
            batch_size=None,
            num_workers=min(workers, self.parts),
            persistent_workers=workers > 0 and (keep or order is not None),
        )

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if not self.loader.num_workers:
            yield from map(self._collated, self._clips())
            return
        # While a batch is used, a thread collates the next one.
        with ThreadPoolExecutor(1) as thread:
            yield from one_ahead(thread, self._collated, self._clips())

    def _clips(self) -> Iterator[Part]:
        """The clips of each batch. Raises the errors that the workers sent."""
        parts = self.readers.given(self.loader)
        # A DataLoader reads its workers in turn, so these are the parts of one batch, one per worker.
        while together := list(islice(parts, self.parts)):
            clips: Part = []
            for part in together:
                if isinstance(part, DferError):
                    raise part
                clips += part
            yield clips

    def _collated(self, clips: Part) -> dict[str, Tensor]:
        """The batch of `clips`; frames are copied once, also if memory is pinned."""
        samples = [sample for _, sample in sorted(clips, key=self._in_order)]
        frames = [sample.pop("frames") for sample in samples]
        shape = (len(frames), *frames[0].shape)
        whole = torch.stack(frames, out=torch.empty(shape, dtype=torch.uint8, pin_memory=self.pin))
        others: dict[str, Tensor] = default_collate(samples)
        if self.pin:
            others = {key: value.pin_memory() for key, value in others.items()}
        return {"frames": whole, **others}

    def _in_order(self, clip: tuple[int, dict[str, Any]]) -> int:
        return self.rank[clip[0]]


def one_ahead(thread: Executor, work: Callable[[Given], Made], items: Iterator[Given]) -> Iterator[Made]:
    """The results of `work` on the items, in order; the next one is computed by `thread` meanwhile.

    A DferError of `items` is raised after the results of the items before it.
    """
    waiting: Future[Made] | None = None
    try:
        for item in items:
            done, waiting = waiting, thread.submit(work, item)
            if done is not None:
                yield done.result()
    except DferError:
        if waiting is not None:
            yield waiting.result()
        raise
    if waiting is not None:
        yield waiting.result()


class _Reading(IterableDataset[Part | DferError]):
    """The dataset of a worker: per batch the clips of its lanes; errors are values (see `Batches`)."""

    def __init__(
        self,
        dataset: ClipDataset,
        clips: StreamedClips,
        lanes: Streamed | InOrder,
        places: frozenset[int],
        steps: int,
        readers: Readers,
    ) -> None:
        self.dataset, self.clips, self.lanes, self.steps = dataset, clips, lanes, steps
        self.readers = readers
        self.places = places

    def own(self, epoch: int) -> list[tuple[Lane, int]]:
        """The lanes with some of the places, each with its first place in a batch."""
        lanes = self.lanes.lanes(epoch)
        ends = np.cumsum([lane.share for lane in lanes]).tolist()
        return [
            (lane, end - lane.share)
            for lane, end in zip(lanes, ends, strict=True)
            if not self.places.isdisjoint(range(end - lane.share, end))
        ]

    def __iter__(self) -> Iterator[Part | DferError]:
        worker = get_worker_info()
        first, every = (worker.id, worker.num_workers) if worker else (0, 1)
        parts = [self._parts(lane, place) for lane, place in self.own(self.dataset.epoch)[first::every]]
        try:
            for _ in range(self.steps):
                yield [clip for part in parts for clip in next(part)]
        except DferError as error:
            yield error

    def _parts(self, lane: Lane, first: int) -> Iterator[Part]:
        """The lane's clips for each batch, from place `first` on, without places of other processes."""
        stream = self.clips.stream(lane, np.asarray(self.dataset.indices))
        for _ in range(self.steps):
            part: Part = []
            for place, (position, frames) in enumerate(islice(stream, lane.share), first):
                if place in self.places:
                    self.readers.take(position)
                    with self.clips.turn_of(self.dataset.indices[position], frames):
                        part.append((place, self.dataset[position]))
            yield part
