"""The order of a stream: each clip once, from (seed, epoch), and never back to a shard that was left."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from dfer_model.data.streaming import LANES, InOrder, Streamed

SHARDS = np.repeat(np.arange(30), 10)  # 300 clips


def order(seed: int = 1, epoch: int = 1, batch_size: int = 24, shards: np.ndarray = SHARDS) -> list[int]:
    sampler = Streamed(shards, batch_size, seed)
    sampler.epoch = epoch
    return list(sampler)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 24, 48, 300])
def test_an_epoch_has_as_many_whole_batches_as_there_are_each_clip_at_most_once(batch_size: int) -> None:
    drawn = order(batch_size=batch_size)
    assert len(drawn) == 300 // batch_size * batch_size
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(300))


def test_what_is_left_over_is_left_over_in_turn() -> None:
    seen = set().union(*(order(epoch=epoch, batch_size=48) for epoch in range(1, 6)))
    assert seen == set(range(300))


def test_it_comes_from_seed_and_epoch_alone() -> None:
    assert order() == order()
    assert len({tuple(order(seed, epoch)) for seed in (1, 2, 3) for epoch in (1, 2, 3)}) == 9


def test_a_batch_is_from_many_places() -> None:
    drawn = np.array(order(batch_size=24)).reshape(-1, 24)
    for batch in drawn:
        assert len(np.unique(SHARDS[batch])) >= LANES * 3 // 4


def test_neighbours_of_a_shard_do_not_stay_neighbours() -> None:
    drawn = np.array(order(batch_size=1))  # one lane, in windows of 64 clips
    assert np.mean(np.diff(drawn) == 1) < 0.1


@pytest.mark.parametrize("batch_size", [5, 24])
def test_a_lane_reads_on_and_never_back(batch_size: int) -> None:
    lanes = Streamed(SHARDS, batch_size, 1).lanes(1) + InOrder(np.arange(300), batch_size).lanes(1)
    for lane in lanes:
        passed = [shard for shard, _ in groupby(SHARDS[lane.read])]
        assert len(passed) == len(set(passed))
        for shard in passed:
            assert (np.diff(lane.read[SHARDS[lane.read] == shard]) > 0).all()
        assert sorted(lane.drawn) == sorted(lane.read)


@pytest.mark.parametrize(("clips", "batch_size"), [(300, 24), (35, 20), (40, 20), (7, 16), (1, 3), (21, 20)])
def test_judging_takes_every_clip_once_in_as_few_batches_as_can_be(clips: int, batch_size: int) -> None:
    lanes = InOrder(np.arange(clips), batch_size).lanes(1)
    assert np.concatenate([lane.read for lane in lanes]).tolist() == list(range(clips))
    steps = -(-clips // batch_size)
    assert all(len(lane.read) <= steps * lane.share for lane in lanes)
    assert sum(lane.share for lane in lanes) == batch_size
