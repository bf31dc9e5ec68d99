"""The local engine: separate processes, distributed GPUs, resumed runs, reported failures."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from submitit.core.core import Job

from dfer_model.comparison.grid import train_all
from dfer_model.config import preset
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError, Interrupted, WorkError
from dfer_model.launchers.job import Attempts, Outcome, Work
from dfer_model.launchers.local import LocalEngine
from dfer_model.launchers.slurm import SlurmEngine, minutes
from dfer_model.runs import Run, RunSpec
from dfer_model.training.loop import train_run

from .. import tiny
from ..resuming import same_result
from ..training.test_loggers import events as curves


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def spec(clips: PackedClips, seed: int) -> RunSpec:
    """A run on the demo CLIP, which every process knows."""
    changed = {"epochs": 2, "frames": 2, "workers": 0, "milestones": (2,)}
    settings = preset("demo", "tiny").model_copy(update=changed)
    return RunSpec(settings, tiny.TEXTS, clips.path, clips.fingerprint, 1, seed)


def wrong(clips: PackedClips, *seeds: int) -> list[RunSpec]:
    """Runs that fail when they start."""
    return [replace(spec(clips, seed), dataset_fingerprint="of other clips") for seed in seeds]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@dataclass
class GridRecorder:
    """Collects the reports of a grid and kills the first process of its first run."""

    folder: Path
    notes: list[str] = field(default_factory=list)
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
        """The records of the processes that started a run of the grid."""
        paths = self.folder.glob(f"jobs/*/attempts/{number}.jsonl")
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, as a job has here: with another number, sums differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def grid(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> GridRecorder:
    """Three runs on two GPUs: the first is stopped after an epoch and killed, the others fail."""
    recorder = GridRecorder(tmp_path_factory.mktemp("grid"))
    first = spec(clips, 1)

    def stop(epoch: float, _epochs: int, _note: str = "") -> None:
        if epoch >= 1:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="1 of 2 epochs are"):
        train_run(first, clips, recorder.runs, report=stop, device="cpu")
    engine = LocalEngine(recorder.folder / "jobs", gpus=("8", "9"), runs_per_gpu=2)
    with pytest.raises(WorkError) as raised:
        train_all(
            [first, *wrong(clips, 2, 3)],
            clips,
            recorder.runs,
            recorder.report,
            engine=engine,
            note=recorder.notes.append,
            trackers=["tensorboard"],
        )
    recorder.error = str(raised.value)
    return recorder


def test_a_killed_run_is_reported_and_resumed(grid: GridRecorder) -> None:
    first, second = grid.begun(0)
    assert first["pid"] == grid.killed != second["pid"]
    (message,) = [each for each in grid.notes if "seed 1" in each]
    assert message == "v1@2, fold 1, seed 1: its process died; attempt 2 of 3 resumes after epoch 1"


def test_a_resumed_run_equals_a_run_in_one_process(
    grid: GridRecorder, clips: PackedClips, tmp_path: Path
) -> None:
    mine = Run.open(spec(clips, 1).folder(grid.runs))
    assert set(curves(mine.folder)["loss"]) == {2}  # what the job trained; its first epoch was not followed
    assert same_result(mine, train_run(spec(clips, 1), clips, tmp_path, device="cpu"))


def test_a_failed_run_is_not_retried_and_stops_no_other(grid: GridRecorder) -> None:
    assert [len(grid.begun(number)) for number in (1, 2)] == [1, 1]
    first, second = grid.error.splitlines()
    assert first.startswith("2 of 3 runs were not trained: v1@2, fold 1, seed 2 (")
    assert "no longer has the clips of the grid" in first
    assert "to train the missing runs" in second
    assert len(list(grid.runs.glob("*/result.json"))) == 1


def test_runs_are_distributed_over_gpus(grid: GridRecorder) -> None:
    assert [grid.begun(number)[0]["gpus"] for number in range(3)] == ["8", "9", "8"]


def test_more_jobs_than_the_gpus_allow_are_refused(tmp_path: Path) -> None:
    assert LocalEngine(tmp_path, gpus=("0", "1"), runs_per_gpu=3).jobs == 6
    assert LocalEngine(tmp_path).jobs == 1
    with pytest.raises(InputError, match=r"3 runs .* 1 on each of 2 GPUs\n.*--runs-per-gpu 2, or --jobs 2"):
        LocalEngine(tmp_path, jobs=3, gpus=("0", "1"))


def test_a_gpu_is_free_when_its_run_has_returned(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Waiting:
        """Returns when a file exists; its process ends a minute later."""

        path: Path
        gpus: str = ""
        threads: int = 1
        shared: bool = False

        def __call__(self) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            atexit.register(time.sleep, 60)
            while not self.path.exists():
                time.sleep(0.02)

    engine = LocalEngine(tmp_path, gpus=("0", "1"))
    never, soon = tmp_path / "never", tmp_path / "soon"
    jobs: list[Job[Any]] = []
    try:
        jobs += engine.submit([Waiting(never), Waiting(soon)], tmp_path)  # type: ignore[list-item]
        soon.touch()
        until(jobs[1].paths.result_pickle.exists)
        jobs += engine.submit([Waiting(never)], tmp_path)  # type: ignore[list-item]
        assert not jobs[1].done()
        assert [job.submission().function.gpus for job in jobs] == ["0", "1", "1"]
    finally:
        engine.cancel(jobs)
    assert all(job.done() for job in jobs)


class Refusing(LocalEngine):
    """Accepts one run at a time, as a cluster may whose limit is unknown before submission."""

    taken: list[Job[Any]]

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        if all(job.paths.result_pickle.exists() for job in self.taken):
            self.taken += super().submit(works[:1], folder)
            yield self.taken[-1]
            works = works[1:]
        if works:
            raise WorkError("no more jobs are taken\nWait")


def test_refused_runs_are_submitted_again_and_reported_once(clips: PackedClips, tmp_path: Path) -> None:
    recorder = GridRecorder(tmp_path, killed=1)
    engine = Refusing(tmp_path / "jobs", jobs=3, pause_s=0.1)
    engine.taken = []
    specs = wrong(clips, 1, 2)
    with pytest.raises(WorkError, match=r"2 of 2 runs were not trained: .*no longer has the clips"):
        train_all(
            specs,
            clips,
            recorder.runs,
            recorder.report,
            engine=engine,
            note=recorder.notes.append,
        )
    assert [len(recorder.begun(number)) for number in range(2)] == [1, 1]
    assert len([each for each in recorder.notes if each.startswith("no more jobs are taken; ")]) == 1


def test_a_refusal_without_running_jobs_is_an_error(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(tmp_path / "jobs")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkError, match=r"^no process can be started: .*\nEnd other work on this machine"):
        train_all(wrong(clips, 1), clips, tmp_path, lambda *_: None, engine=engine)


@dataclass
class Stopping(LocalEngine):
    """Interrupted after the start of its second process, or when one of them trains."""

    by: signal.Signals = signal.SIGINT
    submitting: bool = True
    begun: list[Job[Any]] = field(default_factory=list)

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        for job in super().submit(works, folder):
            self.begun.append(job)
            if self.submitting and len(self.begun) == 2:
                signal.raise_signal(self.by)
            yield job

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        if list(self.folder.glob("*/attempts/0.jsonl")):
            signal.raise_signal(self.by)
        return super().over(jobs)


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes with an argument in the folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_text(errors="replace").replace("\0", " "))
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize(("by", "submitting"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interrupted_grid_leaves_no_process(
    clips: PackedClips, tmp_path: Path, by: signal.Signals, submitting: bool
) -> None:
    engine = Stopping(tmp_path / "jobs", jobs=3, by=by, submitting=submitting)
    specs = [spec(clips, seed) for seed in (1, 2, 3)]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
    try:
        with pytest.raises(KeyboardInterrupt):
            train_all(specs, clips, tmp_path / "runs", lambda *_: None, engine=engine)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(engine.begun) == 3
    assert all(job.done() for job in engine.begun)
    assert processes_of(tmp_path) == []


def work(clips: PackedClips, folder: Path, *specs: RunSpec) -> Work:
    """A job of the runs, with its attempts in the folder."""
    attempts = tuple(Attempts(folder / f"{number}.jsonl") for number in range(len(specs)))
    return Work(specs, attempts, folder / "runs", "cpu", retries=0)


def test_a_run_locked_by_another_process_is_no_attempt(clips: PackedClips, tmp_path: Path) -> None:
    mine = work(clips, tmp_path, spec(clips, 1))
    folder = mine.specs[0].folder(mine.runs)
    folder.mkdir(parents=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    mine.attempts[0].begin()  # an earlier one, which died

    def take() -> None:
        until(lambda: len(mine.attempts[0].begun()) == 2)
        lock.acquire()

    other = threading.Thread(target=take)
    other.start()
    assert replace(mine, retries=1).train(mine.specs[0], mine.attempts[0]).status == "elsewhere"
    other.join()
    lock.release()
    assert len(mine.attempts[0].begun()) == 1


def test_a_local_job_ignores_the_variables_of_srun(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    mine = work(clips, tmp_path, spec(clips, 1))
    mine.attempts[0].begin()
    (job,) = LocalEngine(tmp_path).submit([mine], tmp_path)
    until(job.done)
    assert job.result() == Outcome("failed", "it was started 1 times and never finished")


@pytest.fixture
def submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File with the script and environment of the last sbatch, of a Slurm that accepts every job."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sbatch", "srun", "squeue", "scancel"):
        (commands / name).write_text(
            f'#!/bin/sh\ncat "$1" > {tmp_path}/submission\nenv >> {tmp_path}/submission\n'
        )
        (commands / name).chmod(0o755)
    with (commands / "sbatch").open("a") as stream:
        stream.write("echo Submitted batch job 7\n")
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    return tmp_path / "submission"


def test_a_slurm_job_does_not_inherit_variables_of_the_parent_job(
    submission: Path, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = {"SLURM_NTASKS": "2", "SLURM_MEM_PER_CPU": "100", "SLURM_PROCID": "1"}
    meant = {"SLURM_CONF": "/etc/slurm/slurm.conf", "SBATCH_ACCOUNT": "emotion"}
    for name, value in (inherited | meant).items():
        monkeypatch.setenv(name, value)
    list(SlurmEngine(tmp_path, {}).submit([work(clips, tmp_path, spec(clips, 1))], tmp_path))
    lines = submission.read_text().splitlines()
    assert {f"{name}={value}" for name, value in meant.items()} <= set(lines)
    assert not [line for line in lines if line.split("=")[0] in inherited]
    assert os.environ["SLURM_PROCID"] == "1"
    assert os.environ["SBATCH_ACCOUNT"] == "emotion"


@pytest.mark.parametrize(
    ("jobs", "runs_per_gpu", "at_once", "beside"),
    [(None, 1, 400, 990), (16, 1, 16, 6), (3, 2, 1, 0), (1, 2, 1, 0), (32, 2, 16, 6)],
)
def test_the_number_of_simultaneous_runs_on_a_cluster(
    submission: Path,
    clips: PackedClips,
    tmp_path: Path,
    jobs: int | None,
    runs_per_gpu: int,
    at_once: int,
    beside: int,
) -> None:
    """400 jobs are one array with a limit; while 10 are left, there is room for `beside` more."""
    engine = SlurmEngine(tmp_path, {}, jobs=jobs, runs_per_gpu=runs_per_gpu)
    assert engine.room(0) == 1000
    list(engine.submit([work(clips, tmp_path, spec(clips, 1))] * 400, tmp_path))
    assert f"#SBATCH --array=0-399%{at_once}" in submission.read_text()
    assert engine.room(10) == beside
    assert engine.runs_per_job * at_once <= (jobs or 1000)


@pytest.mark.parametrize(
    ("written", "means"),
    [(45, 45), ("45", 45), ("8:00:00", 480), ("0:00:30", 1), ("90:00", 90), ("2-12", 3600), ("1-0:5", 1445)],
)
def test_times_are_in_the_formats_of_slurm(written: str | int, means: int) -> None:
    assert minutes(written) == means


def test_an_invalid_time_is_refused() -> None:
    with pytest.raises(InputError, match=r"'a day' is not a valid time\nWrite minutes"):
        minutes("a day")
