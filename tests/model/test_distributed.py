"""One run trained by several processes, started by the launcher of torchrun, against one process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from accelerate.commands.launch import launch_command, launch_command_parser
from safetensors.torch import load_file
from torch import nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dfer_model.comparison.grid import train_all
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.loaders import Batches, Shuffled
from dfer_model.data.packed import PackedClips
from dfer_model.distributed import ALONE, Processes, data_parallel, ending_together
from dfer_model.errors import InputError, WorkError
from dfer_model.launch import Launch, launched, several_processes_requested
from dfer_model.runs import Run
from dfer_model.training.ema import Mixing
from dfer_model.training.loop import train_run

from . import tiny, trained_together
from .resuming import Stop, stopping


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=6)


@dataclass(frozen=True)
class Together:
    """Files and output of two processes, and whether they failed."""

    folder: Path
    saw: list[dict[str, Any]]
    out: str
    err: str
    failed: bool


def in_the_last(folder: Path) -> bool:
    """Whether the first command has ended and the second has saved an epoch."""
    runs = folder / "workspace" / "runs"
    saved = [path.parent.parent for path in runs.glob("*/state/checkpoint.pt")]
    finished = [path.parent for path in runs.glob("*/result.json")]
    return bool(finished) and bool({*saved} - {*finished})


def logs_of(folder: Path, stream: str) -> list[Path]:
    """The files of a standard stream, one per process."""
    return sorted((folder / "logs").rglob(f"{stream}.log"))


@pytest.fixture(scope="module")
def together(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Together:
    """Two processes train all of TRAININGS; the second process is interrupted in the last command."""
    folder = tmp_path_factory.mktemp("together")
    unfinished = tiny.spec(clips, **trained_together.TRAININGS["resumed, with unequal shares"])
    with pytest.raises(Stop):
        train_run(unfinished, clips, folder / "runs", device="cpu", report=stopping("epoch 2, step 1 ", Stop))
    # torchrun's own launcher, with a fork server: it imports torch once for both processes.
    multiprocessing.get_context("forkserver").set_forkserver_preload([trained_together.__name__])
    logs = DefaultLogsSpecs(str(folder / "logs"), redirects=Std.ALL)
    config = LaunchConfig(
        1, 1, 2, logs, "test", rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", max_restarts=0,
        start_method="forkserver",
    )  # fmt: skip
    outcome: list[BaseException | None] = []

    def launch() -> None:
        try:
            elastic_launch(config, trained_together.main)(str(clips.path), folder, torch.get_num_threads())
            outcome.append(None)
        except ChildFailedError as error:
            outcome.append(error)

    # Not in the main thread, whose signal handlers the launcher would replace.
    launcher = threading.Thread(target=launch, daemon=True)
    launcher.start()
    while launcher.is_alive() and not in_the_last(folder):
        time.sleep(0.1)
    saw = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    os.kill(saw[1]["pid"], signal.SIGINT)
    launcher.join()
    out, err = ("".join(path.read_text() for path in logs_of(folder, name)) for name in ("stdout", "stderr"))
    return Together(folder, saw, out, err, failed=outcome[0] is not None)


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", trained_together.TRAININGS)
def test_two_processes_give_the_run_of_one(
    clips: PackedClips, together: Together, tmp_path: Path, name: str
) -> None:
    spec = tiny.spec(clips, **trained_together.TRAININGS[name])
    one = train_run(spec, clips, tmp_path, device="cpu")
    two = Run.open(spec.folder(together.folder / "runs"))
    assert one.id == two.id
    assert [row["loss"] for row in rows(two)] == pytest.approx([row["loss"] for row in rows(one)], rel=1e-5)
    assert [row.get("test") for row in rows(two)] == [row.get("test") for row in rows(one)]
    assert two.selections == one.selections
    for selection in one.selections:
        expected, answered = one.predictions(selection), two.predictions(selection)
        assert answered.clip_ids == expected.clip_ids  # each once, in the same order
        np.testing.assert_allclose(answered.logits, expected.logits, rtol=1e-4, atol=1e-3)
    weights, expected = (load_file(run.folder / "model.safetensors") for run in (two, one))
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-5, atol=1e-5)
    assert two.result["device"] == "2 x cpu"


def test_each_clip_is_read_once_per_epoch(clips: PackedClips, together: Together) -> None:
    # Three batches of 3 are all 9 training clips, in the order of one process.
    dataset = ClipDataset(clips, clips.train_indices(1), frames=4, image_size=32)
    order = Shuffled(dataset, seed=1)
    for epoch, shares in enumerate(zip(*(saw["seen"] for saw in together.saw), strict=True), 1):
        order.epoch = epoch
        together_read = [first + second for first, second in zip(*shares, strict=True)]
        assert [index for batch in together_read for index in batch] == [dataset.indices[at] for at in order]
        assert {(len(first), len(second)) for first, second in zip(*shares, strict=True)} == {(1, 2)}


def test_a_single_test_clip_is_predicted_for_both_processes(together: Together) -> None:
    first, second = (saw["answered"] for saw in together.saw)
    assert np.shape(first) == (1, 3)
    assert first == second
    assert np.count_nonzero(first)


def test_only_the_first_process_writes_and_reports(clips: PackedClips, together: Together) -> None:
    reporting, silent = (saw["notes"] for saw in together.saw)
    assert reporting.count("evaluating the test fold") == len(trained_together.TRAININGS)
    assert silent == []
    assert together.out.count("UAR") == 1  # one table, of the finished training
    assert together.err.count("The run is in") == 1
    written = Run.open(next((together.folder / "workspace" / "runs").glob("*/result.json")).parent)
    assert written.predictions("last").clip_ids == [clips.clip_ids[at] for at in clips.test_indices(1)]


def test_ctrl_c_in_one_process_ends_all_with_one_message(together: Together) -> None:
    assert together.failed
    ours = [line for line in together.err.splitlines() if line.startswith(("Stopped", "Error"))]
    assert len(ours) == 1
    assert "of 100000 epochs are saved in" in ours[0]
    assert together.err.count("Give the same command again to continue") == 1
    assert "KeyboardInterrupt" not in together.err
    assert not [saw["pid"] for saw in together.saw if Path(f"/proc/{saw['pid']}").exists()]


# Shares of a batch


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_partition_a_batch_almost_equally(count: int) -> None:
    for total in (0, 1, 5, 7, 48):
        shares = [range(total)[Processes(rank, count).share(total)] for rank in range(count)]
        assert [place for share in shares for place in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_mixup_of_shares_equals_mixup_of_the_batch(clips: PackedClips) -> None:
    dataset = ClipDataset(clips, clips.train_indices(1), frames=2, image_size=8)
    complete = next(iter(Batches(dataset, 7, workers=0, sampler=Shuffled(dataset, 1))))
    labels = clips.labels[complete["index"]]
    for step in (1, 2, 3, 4):  # mixup and cutmix alternate
        mixed, targets = Mixing(1.0, 1.0, 3, seed=1)(
            complete["frames"].float(), torch.from_numpy(labels), 1, step
        )
        found = []
        for rank in range(3):
            shared = Batches(
                dataset,
                7,
                workers=0,
                sampler=Shuffled(dataset, 1),
                processes=Processes(rank, 3),
                mixed=True,
            )
            batch = next(iter(shared))
            found.append(
                Mixing(1.0, 1.0, 3, seed=1, ahead=1)(batch["frames"].float(), batch["label"], 1, step)
            )
        assert torch.equal(torch.cat([frames for frames, _ in found]), mixed)
        assert torch.equal(torch.cat([target for _, target in found]), targets)


def test_workers_of_a_machine_are_shared() -> None:
    assert [Processes(1, 4, on_this_machine=2).workers(many) for many in (0, 1, 5, 16)] == [0, 1, 3, 8]


@pytest.mark.parametrize(
    ("model", "batch_size", "message"),
    [
        (nn.Linear(1, 1), 1, "a batch of 1 clips cannot be shared among 2 processes"),
        (nn.BatchNorm3d(1), 4, "BatchNorm learns the statistics of a whole batch"),
        (nn.Dropout(0.5), 4, "dropout is drawn for the clips of a whole batch"),
    ],
)
def test_models_and_batches_that_cannot_be_shared_are_refused(
    model: nn.Module, batch_size: int, message: str
) -> None:
    wrapped = nn.Sequential(model)
    with pytest.raises(InputError, match=message):
        Processes(0, 2).require_shareable(wrapped, batch_size)
    ALONE.require_shareable(wrapped, batch_size)
    assert Processes(0, 2).require_shareable(nn.Sequential(nn.Linear(1, 1), nn.Dropout(0)), 2) is None


# How a process was started


def test_the_launch_is_read_from_the_variables_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched() == Launch()
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launch(3, 4, 1, 2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not launched().several
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("WORLD_SIZE", "4")  # some clusters set only this
    assert not launched().several


def test_a_grid_is_refused_under_torchrun(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="without torchrun"):
        train_all([tiny.spec(clips)], clips, tmp_path, lambda *_: None)
    assert not list(tmp_path.iterdir())


def test_accelerate_with_one_of_several_processes_is_detected(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # as with --num_processes 1
    assert not several_processes_requested()
    probe = "from dfer_model.launch import several_processes_requested as requested; print(requested())"
    words = ["--cpu", "--no_python", "--num_processes", "2", sys.executable, "-c", probe]
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny.__file__).parents[2]))
    launch_command(launch_command_parser().parse_args(words))
    assert capfd.readouterr().out.strip() == "True"


def test_gradients_are_views_of_the_buffers_that_are_sent(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain, frames = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(5, 3)
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped = data_parallel(deepcopy(plain))
        for model in (plain, wrapped):
            model(frames).square().sum().backward()
        gradients = [each.grad for each in wrapped.parameters()]
        assert all(map(torch.equal, gradients, [each.grad for each in plain.parameters()]))
        assert len({each.untyped_storage().data_ptr() for each in gradients}) == 1
    finally:
        dist.destroy_process_group()


def test_a_killed_process_is_an_error() -> None:
    gloo = RuntimeError("[/build/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(WorkError, match="another of the 2 processes"), ending_together(Processes(0, 2)):
        raise gloo
    for processes, error in ((ALONE, gloo), (Processes(0, 2), RuntimeError("shapes do not fit"))):
        with pytest.raises(RuntimeError) as caught, ending_together(processes):
            raise error
        assert caught.value is error
