"""Interrupted training: what is saved, what is reported, and that the resumed run is bit-equal."""

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

from dfer_model.checkpoints import Progress, load_state, save_state
from dfer_model.data.packed import PackedClips
from dfer_model.errors import Interrupted, LostError, WorkError
from dfer_model.progress import silent
from dfer_model.runs import Run
from dfer_model.training.loop import train, train_run
from dfer_model.training.run_writer import stopping_with_message
from dfer_model.training.setup import Training

from .. import tiny
from ..resuming import Stop, same_result, stopping

LEARNING = {"lr_image": 1e-2, "lr_temporal": 1e-2, "lr_context": 1e-2, "milestones": ()}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs that are trained without interruption, each once."""
    return tmp_path_factory.mktemp("uninterrupted")


@pytest.mark.parametrize(
    ("select", "at"),
    [
        ("last", "epoch 1, step 1 "),
        ("last", "epoch 3, step 1 "),
        ("last", "evaluating the test fold"),
        ("test-best", "epoch 3, step 1 "),
        ("test-best", "evaluating the test fold"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    clips: PackedClips, uninterrupted: Path, tmp_path: Path, select: str, at: str
) -> None:
    spec = tiny.spec(clips, epochs=3, batch_size=3, select=select, milestones=(2,))
    complete = train_run(spec, clips, uninterrupted, device="cpu")
    with pytest.raises(Stop):
        train_run(spec, clips, tmp_path / "cut", device="cpu", report=stopping(at, Stop))
    assert not Run.open(spec.folder(tmp_path / "cut")).finished
    torch.rand(7)  # another state of torch's random numbers
    assert same_result(train_run(spec, clips, tmp_path / "cut", device="cpu"), complete)


def test_best_weights_are_kept_until_a_checkpoint_records_better_ones(
    clips: PackedClips, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the weights of a better epoch are stored, and before the checkpoint that records it."""
    spec = tiny.spec(clips, epochs=10, select="test-best", **LEARNING)
    complete = train_run(spec, clips, uninterrupted, device="cpu")
    rows = [json.loads(line) for line in (complete.folder / "metrics.jsonl").read_text().splitlines()]
    wars = [row["test"]["war"] for row in rows]
    better = next(epoch for epoch in range(2, 11) if wars[epoch - 1] > max(wars[: epoch - 1]))
    state = spec.folder(tmp_path / "cut") / "state"
    contents: dict[Path, bytes] = {}

    def save(path: Path, progress: Progress, *rest: Any) -> None:
        if progress.epoch == better and progress.row is None:
            raise Stop
        save_state(path, progress, *rest)
        contents.update({each: each.read_bytes() for each in state.glob("best*")})

    with monkeypatch.context() as patch:
        patch.setattr("dfer_model.training.loop.save_state", save)
        with pytest.raises(Stop):
            train_run(spec, clips, tmp_path / "cut", device="cpu")
    assert contents
    assert all(path.read_bytes() == content for path, content in contents.items())
    assert same_result(train_run(spec, clips, tmp_path / "cut", device="cpu"), complete)


@pytest.mark.parametrize("select", ["val", "test-best"])
def test_an_interrupted_evaluation_does_not_lose_the_epoch(
    clips: PackedClips, uninterrupted: Path, tmp_path: Path, select: str
) -> None:
    """The state is saved before the clips that select the epoch are evaluated."""
    spec = tiny.spec(clips, epochs=3, batch_size=3, select=select, val_share=0.5, ema=0.9, **LEARNING)
    complete = train_run(spec, clips, uninterrupted, device="cpu")
    runs = tmp_path / "cut"
    at = "epoch 2: evaluating the " + ("validation clips" if select == "val" else "test fold")
    with pytest.raises(Interrupted, match="2 of 3 epochs are saved"):
        train_run(spec, clips, runs, device="cpu", report=stopping(at, KeyboardInterrupt))
    rows = (spec.folder(runs) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1]
    reports: list[str] = []
    again = train_run(spec, clips, runs, device="cpu", report=lambda *what: reports.append(what[-1]))
    assert not any(note.startswith("epoch 2, step") for note in reports)
    assert any(note.startswith("epoch 3, step") for note in reports)
    assert same_result(again, complete)
    assert again.result["epochs"] == complete.result["epochs"]


def test_ctrl_c_reports_the_saved_epochs(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=3)
    for at, message in (
        ("epoch 1, step 1", "none of 3 epochs was completed"),
        ("epoch 3, step 1", "2 of 3 epochs are"),
    ):
        with pytest.raises(Interrupted, match=message) as caught:
            train_run(spec, clips, tmp_path, device="cpu", report=stopping(at, KeyboardInterrupt))
        assert str(spec.folder(tmp_path)) in str(caught.value)
        assert "same command again" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited there")
def test_a_full_disk_keeps_the_last_checkpoint(
    clips: PackedClips, uninterrupted: Path, tmp_path: Path
) -> None:
    """From epoch 2, files cannot grow beyond a tenth of a checkpoint, as on a full disk."""
    import resource

    spec = tiny.spec(clips, epochs=3, batch_size=3, milestones=(2,))
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
    lines = str(caught.value).splitlines()
    assert lines[0] == f"File too large (checkpoint.pt); 1 of 3 epochs are saved in {spec.folder(tmp_path)}"
    assert (
        lines[1]
        == "Make the folder writable or free disk space, then give the same command again to continue"
    )
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    again = train_run(spec, clips, tmp_path, device="cpu")
    assert same_result(again, train_run(spec, clips, uninterrupted, device="cpu"))


@pytest.mark.parametrize("select", ["last", "test-best"])
def test_checkpoints_written_by_a_thread_resume_the_same_run(
    clips: PackedClips, uninterrupted: Path, tmp_path: Path, select: str
) -> None:
    """A checkpoint has the weights of its epoch although the next epoch changes them while it is written."""
    spec = tiny.spec(clips, epochs=3, batch_size=3, select=select, milestones=(2,))
    complete = train_run(spec, clips, uninterrupted, device="cpu")
    folder = spec.folder(tmp_path)
    training = Training(spec, clips, folder, torch.device("cpu"), save_in_thread=True)
    with pytest.raises(Interrupted, match="2 of 3 epochs are saved"), stopping_with_message(training):
        train(training, stopping("epoch 3, step 2 ", KeyboardInterrupt))
    assert load_state(training.checkpoint, training.model, training.parts).epoch == 2
    again = Training(spec, clips, folder, torch.device("cpu"), save_in_thread=True)
    train(again, silent)
    assert same_result(Run.open(folder), complete)


def test_a_failed_write_of_a_thread_stops_the_training(clips: PackedClips, tmp_path: Path) -> None:
    """Epoch 2 cannot be written, because a folder is in the place of the file; epoch 3 reports it."""
    spec = tiny.spec(clips, epochs=5, batch_size=3)
    folder = spec.folder(tmp_path)
    training = Training(spec, clips, folder, torch.device("cpu"), save_in_thread=True)
    reports: list[str] = []

    def report(done: float, _: int, note: str = "") -> None:
        reports.append(note)
        if note.startswith("epoch 2, step 1"):
            training.writing.wait()
            training.checkpoint.rename(tmp_path / "kept")
            (training.checkpoint / "in the way").mkdir(parents=True)

    message = rf"(?s)checkpoint.pt\); 1 of 5 epochs are saved in {folder}"
    with pytest.raises(WorkError, match=message), stopping_with_message(training):
        train(training, report)
    assert any(note.startswith("epoch 3, step") for note in reports)
    assert not any(note.startswith("epoch 4, step") for note in reports)


DEADLY = 5


class _Deadly(PackedClips):
    """Packed clips of which one kills the worker that reads it."""

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        if index == DEADLY and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encoded_frames(index, indices)


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be killed by SIGKILL there")
@pytest.mark.parametrize("fold", [1, 2])  # a training clip and a test clip
def test_a_killed_worker_is_an_error_that_names_the_clip(
    clips: PackedClips, tmp_path: Path, fold: int
) -> None:
    deadly = _Deadly.open(clips.path)
    spec = tiny.spec(clips, fold, epochs=1, workers=1, batch_size=6)
    with pytest.raises(LostError, match=f"ended by the system, at clip {clips.clip_ids[DEADLY]}\n"):
        train_run(spec, deadly, tmp_path, device="cpu")
    assert train_run(spec, clips, tmp_path, device="cpu").finished


def test_partial_files_of_a_killed_process_are_removed(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=1)
    state = spec.folder(tmp_path) / "state"
    state.mkdir(parents=True)
    for left in (state / ".checkpoint.pt.123", state.parent / ".model.safetensors.123"):
        left.write_bytes(b"half")
    run = train_run(spec, clips, tmp_path, device="cpu")
    assert not list(run.folder.glob(".*.123"))
    assert not state.exists()
