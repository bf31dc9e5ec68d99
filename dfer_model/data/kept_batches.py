"""Batches of the evaluations within a training, which share one loader."""

from __future__ import annotations

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.streaming import StreamedClips

from .loaders import Batches
from .stream_loaders import StreamedBatches, batches_of


class KeptBatches:
    """Test batches for repeated evaluations that differ only in their clips; workers are kept in between.

    A new loader starts its workers at each evaluation. Here one loader reads any clips on the disk. Streamed
    clips have a loader for each choice of clips, because their workers read in an order that is fixed by it.
    """

    def __init__(self) -> None:
        self._given: list[list[int]] = []  # the positions of each batch of the loader on the disk
        self._batches: Batches | None = None
        self._streamed: dict[tuple[int, ...], Batches | StreamedBatches] = {}

    def of(
        self, dataset: ClipDataset, batch_size: int, *, workers: int, pin: bool
    ) -> Batches | StreamedBatches:
        """The batches as by `batches_of` without a sampler. Use them before the next call.

        All calls have datasets with equal `clips` and options, and the same other arguments.
        """
        indices = dataset.indices
        if isinstance(dataset.clips, StreamedClips):
            key = tuple(indices)
            if key not in self._streamed:
                self._streamed[key] = batches_of(dataset, batch_size, workers=workers, pin=pin, keep=True)
            return self._streamed[key]
        self._given[:] = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
        if self._batches is None:
            every = dataset.of_clips(range(len(dataset.clips)))
            self._batches = Batches(every, batch_size, workers=workers, pin=pin, given=self._given, keep=True)
        return self._batches
