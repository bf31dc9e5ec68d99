"""Streamed clips: the same batches and runs as from disk, bit by bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NoReturn

import fsspec
import numpy as np
import pytest
import torch

from dfer_model.data import packed_writer
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.index import INDEX_NAME
from dfer_model.data.loaders import Shuffled
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_index, write_packed
from dfer_model.data.stream_loaders import batches_of
from dfer_model.data.streaming import Streamed, StreamedClips
from dfer_model.distributed import Processes
from dfer_model.errors import InputError, WorkError
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.training.loop import train_run

from . import tiny


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackedClips:
    """Twenty-one clips in five shards."""
    monkeypatch.setattr(packed_writer, "SHARD_CLIPS", 5)
    return tiny.pack(tmp_path / "packed", per_class=7)


@pytest.fixture
def streamed(clips: PackedClips) -> StreamedClips:
    return StreamedClips.open(f"file://{clips.path}")


def training_set(clips: PackedClips, epoch: int = 1) -> ClipDataset:
    dataset = ClipDataset(
        clips, clips.train_indices(1), frames=4, image_size=32, train=Augmentation(0.2, 4.0), seed=3
    )
    dataset.set_epoch(epoch)
    return dataset


def epoch_of(clips: PackedClips, order: Streamed, epoch: int, workers: int = 0, **options) -> list[dict]:
    order.epoch = epoch
    return list(batches_of(training_set(clips, epoch), 4, workers=workers, sampler=order, **options))


def test_the_index_has_the_metadata_of_the_clips(clips: PackedClips, streamed: StreamedClips) -> None:
    for name in ("class_names", "clip_ids", "sources", "fingerprint", "name", "report"):
        assert getattr(streamed, name) == getattr(clips, name), name
    for name in ("labels", "folds", "num_frames", "shards"):
        assert getattr(streamed, name).tolist() == getattr(clips, name).tolist(), name
    assert streamed.shards.tolist() == [number // 5 for number in range(21)]
    assert streamed.test_indices(2).tolist() == clips.test_indices(2).tolist()


def test_an_order_mixes_shards_and_is_another_in_each_epoch() -> None:
    shards = np.repeat(np.arange(6), 50)
    order = Streamed(shards, 8, seed=3)
    epochs = []
    for epoch in (1, 2, 1):
        order.epoch = epoch
        epochs.append(list(order))
        assert len(set(epochs[-1])) == len(epochs[-1]) == 296  # 37 whole batches, no clip twice
        batches = np.array(epochs[-1]).reshape(-1, 8)
        assert np.mean([len(set(shards[batch])) for batch in batches]) > 4
        # Each lane's 37 clips lie within one window of 64: those that were neighbours are so no more.
        apart = np.abs(np.diff(batches[:, 0]))
        assert np.mean(apart == 1) < 0.2
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_disk(clips: PackedClips, streamed: StreamedClips, workers: int) -> None:
    order = Streamed(clips.shards[clips.train_indices(1)], 4, seed=3)
    dataset = training_set(streamed)
    loader = batches_of(dataset, 4, workers=workers, sampler=order)
    assert len(loader) == 2
    for epoch in (1, 2):
        dataset.set_epoch(epoch)  # the same workers go on
        for ours, theirs in zip(loader, epoch_of(clips, order, epoch), strict=True):
            assert set(ours) == set(theirs)
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("mixed", [False, True])
def test_processes_share_a_batch_as_on_the_disk(
    clips: PackedClips, streamed: StreamedClips, mixed: bool
) -> None:
    order = Streamed(clips.shards[clips.train_indices(1)], 4, seed=3)
    for rank in range(3):
        share = {"processes": Processes(rank, 3), "mixed": mixed}
        ours, theirs = (epoch_of(each, order, 2, **share) for each in (streamed, clips))
        assert len(ours) == len(theirs) == 2
        for mine, its in zip(ours, theirs, strict=True):
            assert mine["index"].tolist() == its["index"].tolist()
            assert torch.equal(mine["frames"], its["frames"])


def test_test_clips_are_read_once(clips: PackedClips, streamed: StreamedClips) -> None:
    wanted = clips.test_indices(1)[::-1]
    dataset = ClipDataset(streamed, wanted, frames=4, image_size=32)
    local = ClipDataset(clips, wanted, frames=4, image_size=32)
    batches = list(batches_of(dataset, 5, workers=2))
    read = torch.cat([batch["index"] for batch in batches]).tolist()
    assert sorted(read) == sorted(wanted)
    frames = torch.cat([batch["frames"] for batch in batches])
    for place, index in enumerate(read):
        assert torch.equal(frames[place], local[wanted.tolist().index(index)]["frames"])


def test_a_streamed_run_equals_a_run_from_disk(
    clips: PackedClips, streamed: StreamedClips, tmp_path: Path
) -> None:
    ours, theirs = (
        train_run(tiny.spec(each, sampling="streamed", epochs=1), each, tmp_path / name, device="cpu")
        for name, each in (("streamed", streamed), ("local", clips))
    )
    assert ours.id == theirs.id
    losses = [
        [json.loads(line)["loss"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        for run in (ours, theirs)
    ]
    assert losses[0] == losses[1]
    assert np.array_equal(ours.predictions("last").logits, theirs.predictions("last").logits)
    assert ours.config["dataset"]["path"] == f"file://{clips.path}"
    # Judged from the stream, in an order that is not the stream's.
    indices = clips.test_indices(2)[::-1]
    found, expected = (evaluate_run(ours, each, indices, device="cpu") for each in (streamed, clips))
    assert found.clip_ids == expected.clip_ids
    assert np.allclose(found.logits, expected.logits, atol=1e-4)


def test_another_order_is_refused(streamed: StreamedClips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is streamed, which determines") as refused:
        train_run(tiny.spec(streamed), streamed, tmp_path / "runs", device="cpu")
    assert "--set sampling=streamed" in str(refused.value)
    dataset = training_set(streamed)
    with pytest.raises(InputError, match="sampling=streamed"):
        batches_of(dataset, 4, workers=0, sampler=Shuffled(dataset, 1))


def test_a_clip_out_of_order_is_refused(streamed: StreamedClips) -> None:
    with pytest.raises(InputError, match=r"happiness-3 cannot be read separately\nCopy the packed clips"):
        streamed.encoded_frames(3, [0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_or_truncated_shard_is_named(
    clips: PackedClips, streamed: StreamedClips, workers: int
) -> None:
    order = Streamed(clips.shards[clips.train_indices(1)], 4, seed=3)
    shard = clips.path / "clips-00002.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkError, match=r"^file://.*/clips-00002.arrow cannot be read.*\nGive the same"):
        epoch_of(streamed, order, 1, workers)
    shard.unlink()
    with pytest.raises(WorkError, match=r"clips-00002.arrow cannot be read"):
        epoch_of(streamed, order, 1, workers)


def test_batches_before_a_damaged_frame_are_returned(clips: PackedClips, tmp_path: Path) -> None:
    rows = [*tiny.rows(per_class=7)]
    rows[-1]["frames"] = [b"no image"] * 5
    damaged = StreamedClips.open(f"file://{write_packed(rows, tiny.CLASSES, tmp_path / 'b', {}).path}")
    indices = range(21)
    local = ClipDataset(clips, indices, frames=4, image_size=32)
    batches = iter(batches_of(ClipDataset(damaged, indices, frames=4, image_size=32), 1, workers=1))
    for index in indices[:-1]:
        batch = next(batches)
        assert batch["index"].tolist() == [index]
        assert torch.equal(batch["frames"][0], local[index]["frames"])
    with pytest.raises(InputError, match=r"^frame 0 of clip fear-6 in file://"):
        next(batches)


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    rows = [*tiny.rows(per_class=2)]
    rows[4]["frames"] = [b"no image"] * 5
    clips = write_packed(rows, tiny.CLASSES, tmp_path / "packed", {})
    streamed = StreamedClips.open(f"file://{clips.path}")
    order = Streamed(clips.shards[clips.train_indices(2)], 3, seed=3)
    dataset = ClipDataset(streamed, clips.train_indices(2), frames=4, image_size=32)
    with pytest.raises(InputError, match=r"^frame 0 of clip fear-0 in file://"):
        list(batches_of(dataset, 3, workers=1, sampler=order))


def test_an_object_store(clips: PackedClips) -> None:
    """fsspec's own store in memory stands for one on the network: nothing of it is a file."""
    store = fsspec.filesystem("memory")
    for file in clips.path.iterdir():
        store.pipe(f"/bucket/tiny/{file.name}", file.read_bytes())
    shutil.rmtree(clips.path)
    streamed = StreamedClips.open("memory://bucket/tiny/")
    order = Streamed(streamed.shards[streamed.train_indices(1)], 4, seed=3)
    batches = epoch_of(streamed, order, 1)
    assert [batch["frames"].shape for batch in batches] == [(4, 4, 3, 32, 32)] * 2
    assert streamed.name == "tiny"


class _Unreachable(fsspec.AbstractFileSystem):
    """A store whose client raises an error of its own kind, as those over HTTP do."""

    protocol = "unreachable"

    def _open(self, *_: object, **__: object) -> NoReturn:
        raise UnreachableError("no route to the store")


class UnreachableError(Exception):
    """What such a client raises."""


def test_an_unreachable_store_is_an_error() -> None:
    fsspec.register_implementation("unreachable", _Unreachable, clobber=True)
    with pytest.raises(InputError, match=r"index.parquet cannot be read: no route to the store\nCheck"):
        StreamedClips.open("unreachable://bucket/tiny")


def test_where_there_is_no_index(clips: PackedClips, tmp_path: Path) -> None:
    (clips.path / INDEX_NAME).unlink()
    with pytest.raises(InputError, match=r"there is no file://.*index.parquet\nCreate it .*data index DIR"):
        StreamedClips.open(f"file://{clips.path}")
    old = PackedClips.open(clips.path)
    with pytest.raises(InputError, match="data index DIR"):
        _ = old.shards
    write_index(old)
    assert StreamedClips.open(f"file://{clips.path}").shards.tolist() == old.shards.tolist()
    (clips.path / INDEX_NAME).write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="is not an index of packed clips"):
        StreamedClips.open(f"file://{clips.path}")
    with pytest.raises(InputError, match="cannot be read"):
        StreamedClips.open("nonsense://there/is")
