"""A grid on a real Slurm: cancelled and preempted jobs are restarted, with equal results."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dfer_model.comparison.grid import train_all
from dfer_model.comparison.record import ComparisonRecord
from dfer_model.config import preset
from dfer_model.data.packed import PackedClips
from dfer_model.errors import WorkError
from dfer_model.launchers.slurm import SlurmEngine
from dfer_model.runs import Run, RunSpec
from dfer_prompts import Workspace
from dfer_prompts.api.compare import compare

from ..model import tiny
from ..model.resuming import same_result
from .cluster import slurm, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "Slurm is there")

EPOCHS = 30  # enough that a job is at work when it is taken away
SLURM = "slurm:\n  partition: all\n  gres: gpu:1\n  time: '0:20:00'\n  setup: ['export SAID_BY_SETUP=1']\n"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        patch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        yield
    patch.undo()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def compared(clips: PackedClips, folder: Path, **options: object) -> ComparisonRecord:
    """Two sets on one fold with one seed, in a workspace of its own; the processes that read clips are of the
    jobs too, and hear what these are told.
    """
    result = compare(
        "v1@2", "v1@4", dataset=clips, folds=[1], seeds=[1], workspace=Workspace(folder), device="cpu",
        preset="demo", epochs=EPOCHS, overrides=["frames=2", "workers=2"], **options,
    )  # fmt: skip
    assert isinstance(result, ComparisonRecord)
    return result


@dataclass
class Taking:
    """Takes a job away from each of two runs, once it has an epoch behind it."""

    workspace: Path
    taken: dict[str, str] = field(default_factory=dict)  # name of the set: the job

    @contextmanager
    def progress(self, _stage: str) -> Iterator[Callable[..., None]]:
        yield lambda _done, _total, _note="": self.look()

    def look(self) -> None:
        # A user who cancels, and what sbatch was asked to send before the end of a job's time.
        ways = {"v1@2": ["scancel"], "v1@4": ["scancel", "--signal=USR2"]}
        for name, way in ways.items():
            rows = list(self.workspace.glob(f"runs/{name}-*/metrics.jsonl"))
            if name not in self.taken and rows:
                self.taken[name] = self.job(name)
                subprocess.run([*way, self.taken[name]], check=True)

    def job(self, name: str) -> str:
        """The job that trains a set: in its array, sets are in the order of the comparison."""
        output = subprocess.run(
            ["squeue", "--noheader", "--array", "--states=running", "--format=%i"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        return next(each for each in output if each.endswith("_0" if name == "v1@2" else "_1"))


def test_preempted_jobs_are_restarted_with_equal_results(clips: PackedClips, tmp_path: Path) -> None:
    mine, plain = tmp_path / "slurm", tmp_path / "plain"
    for folder in (mine, plain):
        folder.mkdir()
    (mine / "dfer.yaml").write_text(SLURM)
    messages: list[str] = []
    taking = Taking(mine)
    result = compared(clips, mine, engine="slurm", progress=taking.progress, note=messages.append)
    assert len(taking.taken) == 2
    (cancelled,) = [each for each in messages if "v1@2, fold 1" in each]
    assert "v1@2, fold 1, seed 1: CANCELLED; attempt 2 of 3 resumes after epoch" in cancelled
    (requeued,) = [each for each in messages if "v1@4, fold 1" in each]
    assert "v1@4, fold 1, seed 1: preempted, restarted on" in requeued
    alone = compared(clips, plain)
    for one, other in zip(result.runs, alone.runs, strict=True):
        assert same_result(Run.open(mine / "runs" / one), Run.open(plain / "runs" / other))
    assert compared(clips, mine, engine="slurm").runs == result.runs
    assert not list((mine / ".dfer" / "jobs").iterdir())


def test_runs_that_share_a_gpu_are_tasks_of_one_job(clips: PackedClips, tmp_path: Path) -> None:
    settings = preset("demo", "tiny")
    specs = [RunSpec(settings, tiny.TEXTS, clips.path, "of other clips", 1, seed) for seed in (1, 2, 3)]
    engine = SlurmEngine(tmp_path / "jobs", {"gres": "gpu:1", "time": 5}, runs_per_gpu=2, jobs=2)
    with pytest.raises(WorkError, match=r"3 of 3 runs were not trained: .*no longer has the clips"):
        train_all(specs, clips, tmp_path / "runs", lambda *_: None, engine=engine)
    begun = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(tmp_path.glob("jobs/*/attempts/*.jsonl"))
    ]
    assert [len(each) for each in begun] == [1, 1, 1]
    first, second, third = (each[0] for each in begun)
    assert first["job"] == second["job"] != third["job"]
    assert first["gpus"] == second["gpus"] in ("0", "1")
    assert first["pid"] != second["pid"]


def test_a_refusal_of_slurm_is_an_error_with_its_message(clips: PackedClips, tmp_path: Path) -> None:
    spec = replace(tiny.spec(clips), seed=9)
    engine = SlurmEngine(tmp_path / "jobs", {"partition": "none-such"})
    with pytest.raises(WorkError, match=r"Slurm refused the job: sbatch: error: .*partition.*\nSee `slurm:`"):
        train_all([spec], clips, tmp_path / "runs", lambda *_: None, engine=engine)


def test_a_refused_job_waits_and_an_interrupt_cancels_all(clips: PackedClips, tmp_path: Path) -> None:
    settings = preset("demo", "tiny").model_copy(update={"frames": 2, "workers": 0})
    short, long = (settings.model_copy(update={"epochs": epochs}) for epochs in (EPOCHS, 100 * EPOCHS))
    specs = [RunSpec(each, tiny.TEXTS, clips.path, clips.fingerprint, 1, 1) for each in (short, long)]
    engine = SlurmEngine(tmp_path / "jobs", {"gres": "gpu:1"}, device="cpu", ask_s=1, pause_s=1)
    rows = specs[0].folder(tmp_path) / "metrics.jsonl"
    lines: list[str] = []
    taken: list[str] = []

    def close(done: int, _total: int, _note: str = "") -> None:
        if done:
            raise KeyboardInterrupt
        if rows.is_file() and not taken:
            partition("DRAIN")
            taken.extend(each for each in queue() if each.endswith("_0"))
            subprocess.run(["scancel", *taken], check=True)

    def reopen(text: str) -> None:
        lines.append(text)
        if text.startswith("Slurm refused the job"):
            partition("UP")

    try:
        with pytest.raises(KeyboardInterrupt):
            train_all(specs, clips, tmp_path, close, engine=engine, note=reopen)
    finally:
        partition("UP")
    lost, refused = lines
    assert "CANCELLED; attempt 2 of 3 resumes after epoch" in lost
    assert "; refused runs are submitted again" in refused
    assert (rows.parent / "result.json").is_file()
    until = time.monotonic() + 30
    while queue():
        assert time.monotonic() < until
        time.sleep(0.5)


def partition(state: str) -> None:
    """Let it take jobs (UP), or only go on with those it has (DRAIN)."""
    subprocess.run(["scontrol", "update", "PartitionName=all", f"State={state}"], check=True)


def queue() -> list[str]:
    """The jobs that wait or are at work."""
    command = ["squeue", "--noheader", "--array", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
