"""A training that ends before its end, in any way: what is kept, what is said, and the same end after all."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info

from dfer_model.checkpoints import Progress, save_state
from dfer_model.data.packed import PackedClips
from dfer_model.errors import Interrupted, LostError, WorkError
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny
from ..resuming import Stop, same_result, stopping

LEARNING = {"lr_image": 1e-2, "lr_temporal": 1e-2, "lr_context": 1e-2, "milestones": ()}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.mark.parametrize("select", ["last", "test-best"])
@pytest.mark.parametrize("at", ["epoch 1, step 1 ", "epoch 3, step 1 ", "evaluating the test fold"])
def test_a_broken_off_run_goes_on_to_the_same_end(
    clips: PackedClips, tmp_path: Path, select: str, at: str
) -> None:
    spec = tiny.spec(clips, epochs=4, batch_size=3, select=select, milestones=(3,))
    whole = train_run(spec, clips, tmp_path / "whole", device="cpu")
    with pytest.raises(Stop):
        train_run(spec, clips, tmp_path / "cut", device="cpu", report=stopping(at, Stop))
    assert not Run.open(spec.folder(tmp_path / "cut")).finished
    torch.rand(7)  # another state of torch's random numbers
    assert same_result(train_run(spec, clips, tmp_path / "cut", device="cpu"), whole)


def test_the_best_weights_stay_until_a_checkpoint_says_that_others_are_better(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the weights of a better epoch were kept, and before the checkpoint that says so."""
    spec = tiny.spec(clips, epochs=12, select="test-best", **LEARNING)
    whole = train_run(spec, clips, tmp_path / "whole", device="cpu")
    rows = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    wars = [row["test"]["war"] for row in rows]
    better = next(epoch for epoch in range(2, 13) if wars[epoch - 1] > max(wars[: epoch - 1]))
    state = spec.folder(tmp_path / "cut") / "state"
    kept: dict[Path, bytes] = {}

    def save(path: Path, progress: Progress, *rest: Any) -> None:
        if progress.epoch == better and progress.row is None:
            raise Stop
        save_state(path, progress, *rest)
        kept.update({each: each.read_bytes() for each in state.glob("best*")})

    with monkeypatch.context() as patch:
        patch.setattr("dfer_model.training.loop.save_state", save)
        with pytest.raises(Stop):
            train_run(spec, clips, tmp_path / "cut", device="cpu")
    assert kept
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert same_result(train_run(spec, clips, tmp_path / "cut", device="cpu"), whole)


@pytest.mark.parametrize("select", ["val", "test-best"])
def test_an_interrupted_evaluation_does_not_cost_the_epoch(
    clips: PackedClips, tmp_path: Path, select: str
) -> None:
    """The state is saved before the clips that choose the epoch are evaluated."""
    spec = tiny.spec(clips, epochs=4, batch_size=3, select=select, val_share=0.5, ema=0.9, **LEARNING)
    whole = train_run(spec, clips, tmp_path / "whole", device="cpu")
    runs = tmp_path / "cut"
    at = "epoch 3: evaluating the " + ("validation clips" if select == "val" else "test fold")
    with pytest.raises(Interrupted, match="3 of 4 epochs are saved"):
        train_run(spec, clips, runs, device="cpu", report=stopping(at, KeyboardInterrupt))
    rows = (spec.folder(runs) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]
    told: list[str] = []
    again = train_run(spec, clips, runs, device="cpu", report=lambda *what: told.append(what[-1]))
    assert not any(note.startswith("epoch 3, step") for note in told)
    assert any(note.startswith("epoch 4, step") for note in told)
    assert same_result(again, whole)
    assert again.result["epochs"] == whole.result["epochs"]


def test_ctrl_c_says_what_is_kept(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=3)
    for at, said in (
        ("epoch 1, step 1", "none of 3 epochs was completed"),
        ("epoch 3, step 1", "2 of 3 epochs are"),
    ):
        with pytest.raises(Interrupted, match=said) as caught:
            train_run(spec, clips, tmp_path, device="cpu", report=stopping(at, KeyboardInterrupt))
        assert str(spec.folder(tmp_path)) in str(caught.value)
        assert "same command again" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size can be set there")
def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_whole(
    clips: PackedClips, tmp_path: Path
) -> None:
    """Files may not grow beyond a tenth of a checkpoint from epoch 2 on, as on a disk that is full."""
    import resource

    spec = tiny.spec(clips, epochs=3)
    checkpoint = spec.folder(tmp_path) / "state/checkpoint.pt"
    before = b""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(done: int, epochs: int, note: str) -> None:
        nonlocal before
        if done == 1 and not before:
            before = checkpoint.read_bytes()
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 10, limits[1]))

    try:
        with pytest.raises(WorkError) as caught:
            train_run(spec, clips, tmp_path, device="cpu", report=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = str(caught.value).splitlines()
    assert said[0] == f"File too large (checkpoint.pt); 1 of 3 epochs are saved in {spec.folder(tmp_path)}"
    assert said[1] == "Make the folder writable or free disk space, then give the same command again to go on"
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    again = train_run(spec, clips, tmp_path, device="cpu")
    assert same_result(again, train_run(spec, clips, tmp_path / "whole", device="cpu"))


DEADLY = 5


class _Deadly(PackedClips):
    """Packed clips of which one costs the worker that reads it its life."""

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        if index == DEADLY and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encoded_frames(index, indices)


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be killed so there")
@pytest.mark.parametrize("fold", [1, 2])  # the clip is learned from, and judges
def test_a_killed_worker_ends_a_training_with_the_clips_name(
    clips: PackedClips, tmp_path: Path, fold: int
) -> None:
    deadly = _Deadly.open(clips.path)
    spec = tiny.spec(clips, fold, epochs=1, workers=1, batch_size=6)
    with pytest.raises(LostError, match=f"ended by the system, at clip {clips.clip_ids[DEADLY]}\n"):
        train_run(spec, deadly, tmp_path, device="cpu")
    assert train_run(spec, clips, tmp_path, device="cpu").finished


def test_what_a_killed_process_left_half_written_goes(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips)
    state = spec.folder(tmp_path) / "state"
    state.mkdir(parents=True)
    for left in (state / ".checkpoint.pt.123", state.parent / ".model.safetensors.123"):
        left.write_bytes(b"half")
    run = train_run(spec, clips, tmp_path, device="cpu")
    assert not list(run.folder.glob(".*.123"))
    assert not state.exists()
