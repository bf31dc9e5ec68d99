"""The order of clips, and pixel scaling."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.loaders import Batches, ClassBalanced, Shuffled, pixel_scale
from dfer_model.data.stream_loaders import batches_of
from dfer_model.data.streaming import StreamedClips
from dfer_model.errors import LostError

from .. import tiny


def test_the_order_comes_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = Shuffled(range(20), seed)
        sampler.epoch = epoch
        torch.rand(seed + epoch)  # torch's own random state has no part in it
        return list(sampler)

    assert sorted(order(1, 1)) == list(range(20))
    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2, 3) for epoch in (1, 2, 3)}) == 9


def test_pixels_with_and_without_clips_mean_and_deviation() -> None:
    frames = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1)
    assert pixel_scale("none", (0.5,) * 3, (0.25,) * 3)(frames).flatten().tolist() == pytest.approx(
        [0, 1, 0.2]
    )
    scaled = pixel_scale("clip", (0.5, 0.5, 0.1), (0.25, 0.5, 0.2))(frames).flatten().tolist()
    assert scaled == pytest.approx([(0 - 0.5) / 0.25, (1 - 0.5) / 0.5, (0.2 - 0.1) / 0.2])


def draws(labels: list[int], seed: int = 1, epoch: int = 1) -> list[tuple[int, int]]:
    sampler = ClassBalanced(np.array(labels), seed)
    sampler.epoch = epoch
    torch.rand(seed + epoch)  # torch's own random state has no part in it
    assert len(sampler) == len(labels)
    return list(sampler)


def test_every_class_is_drawn_equally_often() -> None:
    labels = [0] * 20 + [1] * 3 + [3] * 7  # ten draws each; class 2 has no clips
    drawn = draws(labels)
    assert Counter(labels[position] for position, _ in drawn) == {0: 10, 1: 10, 3: 10}
    # Of the large class ten clips once, of the small one each clip thrice and one a fourth time.
    assert sorted(Counter(position for position, _ in drawn if position < 20).values()) == [1] * 10
    assert sorted(Counter(position for position, _ in drawn if 20 <= position < 23).values()) == [3, 3, 4]
    assert len(set(drawn)) == len(drawn)
    times = {position: sorted(time for at, time in drawn if at == position) for position, _ in drawn}
    assert all(found == list(range(len(found))) for found in times.values())
    assert [labels[position] for position, _ in drawn] != sorted(labels[position] for position, _ in drawn)


def test_the_remainder_of_balanced_draws_rotates_over_classes() -> None:
    labels = [0] * 6 + [1] * 3 + [2] * 2  # eleven draws of three classes
    luckless = Counter()
    for epoch in range(1, 31):
        counts = Counter(labels[position] for position, _ in draws(labels, epoch=epoch))
        assert sorted(counts.values()) == [3, 4, 4]
        luckless[min(counts, key=lambda label: counts[label])] += 1
    assert set(luckless) == {0, 1, 2}


def test_balanced_draws_come_from_seed_and_epoch() -> None:
    labels = [0] * 9 + [1] * 4
    assert draws(labels) == draws(labels)
    assert len({tuple(draws(labels, seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) == 4


def test_a_repeated_clip_is_augmented_again(tmp_path: Path) -> None:
    clips = tiny.pack(tmp_path / "packed")
    dataset = ClipDataset(clips, [2, 5], frames=4, image_size=32, train=Augmentation(), seed=1)
    first, again, other = (dataset[key]["frames"] for key in ((1, 0), (1, 1), (1, 2)))
    assert torch.equal(first, dataset[1]["frames"])
    assert not torch.equal(first, again)
    assert not torch.equal(other, again)
    sampler = ClassBalanced(np.array([0, 1]), 1)
    batch = next(iter(Batches(dataset, 2, workers=0, sampler=sampler)))
    assert sorted(batch["index"].tolist()) == [2, 5]


class _Killed(ClipDataset):
    """Clips of which the one at position 2 kills the process that reads it."""

    def __getitem__(self, position: int | tuple[int, int]) -> dict[str, Any]:
        if position == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(position)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_killed_worker_is_an_error_with_the_clip(tmp_path: Path, streamed: bool, busy: bool) -> None:
    clips = tiny.pack(tmp_path / "packed")
    # A DataLoader begun before has left its handler, which would raise in the midst of what is computed.
    next(iter(DataLoader(ClipDataset(clips, [0], frames=2, image_size=8), num_workers=1)))
    of = StreamedClips.open(f"file://{clips.path}") if streamed else clips
    batches = batches_of(_Killed(of, range(len(clips)), frames=2, image_size=8), 2, workers=2)

    def use() -> None:
        for _ in batches:
            # What computes on a batch meanwhile is not disturbed.
            deadline = time.monotonic() + 2
            while busy and time.monotonic() < deadline:
                pass

    with pytest.raises(LostError) as caught:
        use()
    first, second = str(caught.value).split("\n")
    assert first == f"a process that reads clips was ended by the system, at clip {clips.clip_ids[2]}"
    assert "workers=N" in second
