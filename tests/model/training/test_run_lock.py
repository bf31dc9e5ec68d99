"""Runs at work elsewhere: never trained twice, waited for, taken over from a process that dies.

The other process is a lock: all that one process sees of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from dfer_model.comparison.grid import train_all
from dfer_model.data.packed import PackedClips
from dfer_model.errors import BusyError
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.training.loop import train_run
from dfer_model.training.run_lock import taken

from .. import tiny


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@contextmanager
def at_work_elsewhere(spec: RunSpec, runs: Path) -> Iterator[FileLock]:
    """The lock of the run's folder, held as another process holds it that trains the run."""
    folder = spec.folder(runs)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock") as lock:
        assert taken(folder)
        yield lock


@pytest.mark.parametrize("finishes", [True, False], ids=["it finishes", "it dies"])
def test_other_runs_are_trained_while_one_is_locked(
    clips: PackedClips, tmp_path: Path, finishes: bool
) -> None:
    specs = [tiny.spec(clips, seed=seed, epochs=1) for seed in (1, 2)]
    messages: list[str] = []
    written: dict[str, int] = {}
    with at_work_elsewhere(specs[0], tmp_path) as lock:

        def report(_done: int, _total: int, note: str = "") -> None:
            messages.append(note)
            if "waiting" in note:
                lock.release()
                if finishes:
                    result = train_run(specs[0], clips, tmp_path, device="cpu").folder / "result.json"
                    written["ns"] = result.stat().st_mtime_ns

        runs = train_all(specs, clips, tmp_path, report, "cpu")
    assert [run.seed for run in runs] == [1, 2]
    assert all(run.finished and not taken(run.folder) for run in runs)
    waited = messages.index("v1@2, fold 1, seed 1: waiting for the process that trains it")
    assert waited > max(number for number, each in enumerate(messages) if "seed 2" in each)
    if finishes:
        assert (runs[0].folder / "result.json").stat().st_mtime_ns == written["ns"]


def test_a_run_started_under_another_name_is_reused(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=1)
    renamed = replace(spec, texts=ClassTexts("v9", "cd" * 32, tiny.CLASSES, tiny.TEXTS.texts))

    def meanwhile(_done: int, _total: int, note: str = "") -> None:
        # While this process loads its CLIP, another begins the same run as v9.
        if "loading" in note:
            (tmp_path / renamed.id).mkdir()

    with pytest.raises(BusyError, match=f"is training .*{renamed.id}"):
        train_run(spec, clips, tmp_path, report=meanwhile, device="cpu")
    assert [path.name for path in tmp_path.glob("*-fold1-*")] == [renamed.id]
