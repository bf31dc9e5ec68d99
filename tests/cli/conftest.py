"""A tiny run that is trained already, a terminal in the workspace that holds it, and a command line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_model.training.loop import train_run
from dfer_prompts.cli import main

from ..model import tiny
from .test_train import Terminal


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny run in it."""
    folder = tmp_path_factory.mktemp("trained")
    clips = tiny.pack(folder / "packed")
    train_run(tiny.spec(clips, epochs=1), clips, folder / "runs", device="cpu")
    return folder


@pytest.fixture
def run(
    trained: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    shutil.copytree(trained / "runs", isolated / "runs")
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a command line in the current folder; it ends with `status`."""

    def run(*words: str, status: int = 0) -> None:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == status

    return run
