"""Workers of loaders, each change against the plain way: run `python benchmarks/workers.py [--small]`.

Clips of JPEG frames of 224x224, packed. Each figure is the median over alternating rounds of a ratio to the
plain way, so that other load changes it little:

- decoding: CPU time of a worker per clip whose crop is resized on the device. The plain way copies each crop,
  concatenates the copies, and copies the result into shared memory; now each crop is copied once.
- evaluation: seconds of an evaluation of 16 clips by 2 workers. The plain way starts them each time.
- streaming: CPU time of the main thread per streamed batch. It collates the batch in the plain way; now
  another thread does, while the batch before is used.

It takes four minutes, and fails (exit 1) if a change is slower than the plain way.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import loading
import torch
from results import machine, record
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset, DecodedClips
from dfer_model.data.kept_batches import KeptBatches
from dfer_model.data.packed import PackedClips
from dfer_model.data.resampling import one_behind_another
from dfer_model.data.stream_loaders import StreamedBatches, batches_of
from dfer_model.data.streaming import Streamed, StreamedClips

FRAMES, BATCH, EVALUATED = 16, 8, 16
Measure = Callable[[], float]


def plainly_concatenated(clips: Sequence[Tensor]) -> dict[str, Tensor]:
    """As `one_behind_another`, with three copies instead of one."""
    joined = torch.cat([clip.permute(0, 2, 3, 1).flatten() for clip in clips])
    sizes = torch.tensor([[clip.shape[0], *clip.shape[2:]] for clip in clips])
    return {"frames": default_collate([joined])[0], "sizes": sizes}


def decoding(clips: PackedClips, joined: Callable[[Sequence[Tensor]], dict[str, Tensor]]) -> Measure:
    """CPU seconds of a worker per clip, from the end of its first batch to that of its last."""
    options: Any = {"frames": FRAMES, "image_size": loading.SIZE, "train": Augmentation(), "seed": 1}
    dataset = DecodedClips(clips, range(len(clips)), **options)

    def collated(samples: list[dict[str, Any]]) -> tuple[float, dict[str, Tensor]]:
        batch = joined([sample.pop("frames") for sample in samples])
        return time.process_time(), {**batch, **default_collate(samples)}

    def measure() -> float:
        loader = DataLoader(dataset, BATCH, num_workers=1, drop_last=True, collate_fn=collated)
        times = [spent for spent, _ in loader]
        return (times[-1] - times[0]) / (BATCH * (len(times) - 1))

    return measure


def evaluation(clips: PackedClips, kept: KeptBatches | None) -> Measure:
    """Seconds of reading test clips once."""
    made: Any = batches_of if kept is None else kept.of

    def measure() -> float:
        dataset = ClipDataset(clips, range(EVALUATED), frames=FRAMES, image_size=loading.SIZE)
        began = time.perf_counter()
        count = sum(len(batch["index"]) for batch in made(dataset, BATCH, workers=2, pin=False))
        assert count == EVALUATED
        return time.perf_counter() - began

    return measure


class InMainThread(StreamedBatches):
    """Collates each batch when it is requested."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        yield from map(self._collated, self._clips())


def streaming(clips: PackedClips, kind: type[StreamedBatches]) -> Measure:
    """CPU seconds of the main thread per batch."""
    streamed = StreamedClips.open(f"file://{clips.path}")
    options: Any = {"frames": FRAMES, "image_size": loading.SIZE, "train": Augmentation(), "seed": 1}
    dataset = ClipDataset(streamed, range(len(clips)), **options)
    order = Streamed(streamed.shards, BATCH, seed=1)
    batches = kind(dataset, streamed, BATCH, workers=1, order=order, places=range(BATCH))

    def measure() -> float:
        began = time.thread_time()
        count = sum(1 for _ in batches)
        return (time.thread_time() - began) / count

    return measure


def ratios(pairs: dict[str, tuple[Measure, Measure]], rounds: int) -> dict[str, dict[str, float]]:
    """For each pair (plain, ours) the median ratio ours / plain, and the median of ours."""
    found = {}
    for name, (plain, ours) in pairs.items():
        plain(), ours()  # starts the workers that are kept, and reads the files
        measured = [(plain(), ours()) for _ in range(rounds)]
        found[name] = {
            "times_plain": statistics.median(own / other for other, own in measured),
            "milliseconds": 1e3 * statistics.median(own for _, own in measured),
        }
    return found


def main() -> int:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few clips and rounds; stores no figures")
    small = parser.parse_args().small
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        clips = loading.make(Path(folder), 24 if small else 48)
        pairs = {
            "decoding": (decoding(clips, plainly_concatenated), decoding(clips, one_behind_another)),
            "evaluation": (evaluation(clips, None), evaluation(clips, KeptBatches())),
            "streaming": (streaming(clips, InMainThread), streaming(clips, StreamedBatches)),
        }
        found = ratios(pairs, 1 if small else 9)
    print(f"{machine()}\n| time | times the plain way | milliseconds |\n| --- | --- | --- |")
    for name, row in found.items():
        print(f"| {name} | {row['times_plain']:.2f} | {row['milliseconds']:.2f} |")
    if small:
        return 0
    record("workers", {"clips": BATCH, "frames": FRAMES, "ratios": found})
    return int(any(row["times_plain"] > 1 for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
