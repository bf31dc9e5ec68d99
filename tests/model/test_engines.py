"""The local engine: processes of their own, GPUs dealt out, runs taken up again, failures told."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.engines.local import LocalEngine
from dfer_model.engines.slurm import minutes
from dfer_model.errors import InputError, Interrupted, WorkError
from dfer_model.experiments import train_all
from dfer_model.runs import Run, RunSpec
from dfer_model.settings import preset
from dfer_model.training import train_run

from . import tiny
from .resuming import same_result


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def spec(clips: PackedClips, seed: int) -> RunSpec:
    """A run on the demo CLIP, which every process knows."""
    changed = {"epochs": 2, "frames": 2, "workers": 0, "milestones": (2,)}
    settings = preset("demo", "tiny").model_copy(update=changed)
    return RunSpec(settings, tiny.TEXTS, clips.path, clips.fingerprint, 1, seed)


@dataclass
class Watched:
    """Sees what a grid reports, and kills the first process of the first of its runs."""

    folder: Path
    said: list[str] = field(default_factory=list)
    killed: int = 0
    error: str = ""

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def report(self, _done: int, _total: int, _note: str = "") -> None:
        if not self.killed and (begun := self.begun(0)):
            self.killed = begun[0]["pid"]
            os.kill(self.killed, signal.SIGKILL)

    def begun(self, number: int) -> list[dict[str, Any]]:
        """What each process wrote that began a run of the grid."""
        paths = self.folder.glob(f"jobs/*/attempts/{number}.jsonl")
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def grid(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Three runs on two GPUs: the first is stopped after an epoch and killed, the others are wrong."""
    watched = Watched(tmp_path_factory.mktemp("grid"))
    first = spec(clips, 1)

    def stop(epoch: int, _epochs: int, _note: str = "") -> None:
        if epoch:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="1 of 2 epochs are"):
        train_run(first, clips, watched.runs, report=stop, device="cpu")
    wrong = [replace(spec(clips, seed), dataset_fingerprint="of other clips") for seed in (2, 3)]
    engine = LocalEngine(watched.folder / "jobs", gpus=("8", "9"), runs_per_gpu=2)
    with pytest.raises(WorkError) as raised:
        train_all(
            [first, *wrong], clips, watched.runs, watched.report, engine=engine, note=watched.said.append
        )
    watched.error = str(raised.value)
    return watched


def test_a_killed_run_is_told_of_and_goes_on(grid: Watched) -> None:
    first, second = grid.begun(0)
    assert first["pid"] == grid.killed != second["pid"]
    (told,) = [each for each in grid.said if "seed 1" in each]
    assert told == "v1@2, fold 1, seed 1: its process died; attempt 2 of 3 goes on after epoch 1"


def test_a_run_is_what_it_is_in_one_process(grid: Watched, clips: PackedClips, tmp_path: Path) -> None:
    mine = Run.open(spec(clips, 1).folder(grid.runs))
    assert same_result(mine, train_run(spec(clips, 1), clips, tmp_path, device="cpu"))


def test_what_is_wrong_in_itself_is_not_begun_again_and_stops_no_other(grid: Watched) -> None:
    assert [len(grid.begun(number)) for number in (1, 2)] == [1, 1]
    first, second = grid.error.splitlines()
    assert first.startswith("2 of 3 runs were not trained: v1@2, fold 1, seed 2 (")
    assert "does not hold the clips of the grid any more" in first
    assert "trains only what is missing" in second
    assert len(list(grid.runs.glob("*/result.json"))) == 1


def test_gpus_are_dealt_out(grid: Watched) -> None:
    assert [grid.begun(number)[0]["gpus"] for number in range(3)] == ["8", "9", "8"]


def test_more_runs_than_the_gpus_may_take(tmp_path: Path) -> None:
    assert LocalEngine(tmp_path, gpus=("0", "1"), runs_per_gpu=3).jobs == 6
    assert LocalEngine(tmp_path).jobs == 1
    with pytest.raises(InputError, match=r"3 runs .* 1 on each of 2 GPUs\n.*--runs-per-gpu 2, or --jobs 2"):
        LocalEngine(tmp_path, jobs=3, gpus=("0", "1"))


@pytest.mark.parametrize(
    ("written", "means"),
    [(45, 45), ("45", 45), ("8:00:00", 480), ("0:00:30", 1), ("90:00", 90), ("2-12", 3600), ("1-0:5", 1445)],
)
def test_times_are_read_as_slurm_reads_them(written: str | int, means: int) -> None:
    assert minutes(written) == means


def test_what_is_no_time() -> None:
    with pytest.raises(InputError, match=r"'a day' is no time\nWrite minutes"):
        minutes("a day")
