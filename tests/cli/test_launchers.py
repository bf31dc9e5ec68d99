"""`--engine` from the command line: what it takes, what it refuses, and what dfer.yaml says of a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import Workspace
from dfer_prompts.cli import main
from dfer_prompts.errors import InputError

from ..model import tiny


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=2)


def run(monkeypatch: pytest.MonkeyPatch, packed: PackedClips, *words: str) -> int:
    quick = ["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0", "weights=random"]
    command = ["dfer-prompts", *words, "--dataset", str(packed.path), "--clip", tiny.register()]
    monkeypatch.setattr(sys, "argv", [*command, *(word for each in quick for word in ("--set", each))])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_an_engine_trains_only_missing_runs_and_reports_failures(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compare", "v1@2", "v1@4", "--folds", "1", "--seeds", "1", "--device", "cpu", "--json")
    assert run(monkeypatch, packed, *words) == 0
    plain = json.loads(capsys.readouterr().out)
    trained = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    assert run(monkeypatch, packed, *words, "--engine", "local", "--jobs", "2") == 0
    assert json.loads(capsys.readouterr().out) == plain
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")} == trained
    assert list(Path(".dfer/jobs").iterdir()) == []  # the engine was asked, and left nothing
    more = ("compare", "v1@2", "v1@3", *words[3:], "--engine", "local", "--retries", "0")
    # The CLIP of these tests is known to this process alone.
    assert run(monkeypatch, packed, *more) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "Error: 1 of 2 runs were not trained: v1@3, fold 1, seed 1 (" in err
    assert "Traceback" not in err
    (folder,) = Path(".dfer/jobs").iterdir()
    assert folder.name in err
    assert list(folder.glob("*_log.err"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--jobs", "2"), "--jobs requires --engine"),
        (("--runs-per-gpu", "2"), "--runs-per-gpu requires --engine"),
        (("--engine", "local", "--jobs", "0"), "--jobs 0 is below 1"),
        (("--engine", "local", "--retries", "-1"), "--retries -1 is below 0"),
        (("--engine", "slurm"), "Slurm is not installed here: sbatch is not found"),
    ],
)
@pytest.mark.parametrize(
    "command", [("compare", "v1@2", "v1@4"), ("reproduce", "table1")], ids=lambda c: c[0]
)
def test_invalid_options_are_refused_before_any_training(
    packed: PackedClips,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    words: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(monkeypatch, packed, *command, "--folds", "1", *words) == 2
    assert says in capsys.readouterr().err
    assert not Path("runs").exists()


def slurm(text: str) -> Workspace:
    Path("dfer.yaml").write_text(f"slurm:\n{text}")
    return Workspace.find()


def test_options_of_sbatch() -> None:
    text = "  partition: gpu\n  gres: gpu:a100:1\n  time: '8:00:00'\n  cpus_per_task: 4\n"
    chosen = slurm(f"{text}  options: {{reservation: course}}\n  setup: [module load cuda]\n").defaults.slurm
    assert chosen.sbatch_options() == {
        "partition": "gpu", "gres": "gpu:a100:1", "time": "8:00:00", "cpus-per-task": 4,
        "reservation": "course",
    }  # fmt: skip
    assert chosen.setup == ["module load cuda"]


def test_a_time_that_yaml_reads_as_a_number() -> None:
    with pytest.raises(InputError, match="slurm, time: "):
        _ = slurm("  time: 12:00:00\n").defaults
