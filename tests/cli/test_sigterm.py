"""SIGTERM, as Slurm sends it to every process of a job: saved work is reported and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run
from dfer_prompts.cli import app as stopping
from dfer_prompts.cli import main

from ..model import tiny
from ..model.data.images import write_clip
from ..model.resuming import same_result

LOST_S = 10
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process can be sent SIGTERM there")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def words(command: str, packed: PackedClips, *more: str) -> list[str]:
    options = ["--dataset", str(packed.path), "--device", "cpu", "--clip", tiny.register()]
    settings = ["frames=4", "contexts=2", "batch_size=4", "workers=0"]
    sets = [word for setting in settings for word in ("--set", setting)]
    return [command, *more, *options, "--weights", "random", "--epochs", "5", *sets]


def ended(command: list[str], monkeypatch: pytest.MonkeyPatch, workspace: Path = Path()) -> int | str | None:
    """Run the command in a workspace, and return its status, 0 for none."""
    monkeypatch.setattr(sys, "argv", ["dfer-prompts", "--workspace", str(workspace.absolute()), *command])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code or 0


def terminated_when(
    happened: Callable[[], bool], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> int | str | None:
    """Run the command here, send SIGTERM to this process when that has happened, and return its status.

    It is sent again where nothing came of it: numpy, for one, lets an interrupt be lost in some places.
    """

    def watch() -> None:
        while not happened() and not over.is_set():
            time.sleep(0.001)
        while not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            over.wait(LOST_S)

    over, before = threading.Event(), signal.getsignal(signal.SIGTERM)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        status = ended(command, monkeypatch)
    finally:
        over.set()
        watching.join()
    assert signal.getsignal(signal.SIGTERM) is before
    return status


PROGRAM = """
import sys
from dfer_prompts.cli import main
from tests.model import tiny

if __name__ == "__main__":
    tiny.register()
    main()
"""


def test_training_resumes_after_sigterm_to_all_processes(
    packed: PackedClips, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = words("train", packed, "--descriptions", "v1@2", "--set", "workers=1")
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    started = [sys.executable, "-c", PROGRAM, *command]
    with subprocess.Popen(
        started, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        while not list(isolated.glob("runs/*/state/checkpoint.pt")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        lines = process.communicate()[1].splitlines()
    assert process.returncode == 143, lines
    assert lines[-2].startswith("Stopped; ")
    assert "of 5 epochs are saved in " in lines[-2]
    assert lines[-1] == "Give the same command again to continue"
    (folder,) = isolated.glob("runs/v1@2-*")
    assert not (folder / "result.json").exists()
    uninterrupted = isolated / "whole"
    uninterrupted.mkdir()
    for workspace in (isolated, uninterrupted):
        assert ended([*words("train", packed, "--descriptions", "v1@2")], monkeypatch, workspace) == 0
    assert same_result(Run.open(folder), Run.open(*uninterrupted.glob("runs/*")))


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.05)


def test_a_swallowed_interrupt_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    @stopping.ending_on_sigterm()
    def work() -> None:
        with suppress(KeyboardInterrupt):
            terminate()
        terminate()  # too soon: it may still be on its way
        time.sleep(0.2)
        with pytest.raises(KeyboardInterrupt):
            terminate()
        raise SystemExit(130)

    monkeypatch.setattr(stopping, "LOST_S", 0.2)
    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 143


def test_a_second_sigterm_does_not_interrupt_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []

    @stopping.ending_on_sigterm()
    def work() -> None:
        try:
            terminate()
        finally:
            terminate()
            saved.append("all of it")

    monkeypatch.setattr(stopping, "LOST_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert saved == ["all of it"]


def test_a_stopped_comparison_reports_finished_runs(
    packed: PackedClips,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = words("compare", packed, "v1@1", "v1@2", "--folds", "1", "--seeds", "1")
    assert terminated_when(lambda: any(isolated.glob("runs/*/result.json")), command, monkeypatch) == 143
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith("Stopped; ")
    assert lines[-1] == "Give the same command again to continue"
    assert len(list(isolated.glob("runs/*/result.json"))) == 1


def test_stopped_packing_is_resumed(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dfer_model.data.packing.SHARD_CLIPS", 2)
    for number in range(200):
        write_clip(isolated / "own" / ("Happy", "Sad")[number % 2] / f"clip{number}", 2)
    command = ["data", "prepare", "folder", "--root", "own", "--out", "clips", "--jobs", "1"]
    partial = isolated / ".clips.partial"
    assert terminated_when(lambda: any(partial.glob("clips-*.json")), command, monkeypatch) == 143
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2] == f"Stopped; what is packed so far is kept in {partial}"
    assert lines[-1] == "The same command continues it"
    assert 0 < len(list(partial.glob("clips-*.json"))) < 100
    assert ended(command, monkeypatch) == 0
    assert len(PackedClips.open(isolated / "clips")) == 200


def test_a_command_without_partial_results_exits_with_143(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    drawn = isolated / ".drawn"
    command = ["data", "draw", "--out", "drawn", "--clips", "3000"]
    assert terminated_when(lambda: any(isolated.glob(f"{drawn.name}.*.partial")), command, monkeypatch) == 143
    assert not (isolated / "drawn").exists()
