"""Ends before the end: a training in a process of its own that is killed, and whether two runs are equal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run

from . import tiny


class Stop(Exception):
    """What a test raises in the middle of a training."""


def stopping(at: str, error: type[BaseException]) -> Any:
    def report(done: int, total: int, note: str = "") -> None:
        if at in note:
            raise error

    return report


def same_result(one: Run, other: Run) -> bool:
    """Whether two runs are equal by every bit of weights, predictions and losses."""
    first, second = load_file(one.folder / "model.safetensors"), load_file(other.folder / "model.safetensors")
    assert first.keys() == second.keys()
    rows = [
        [
            json.loads(line) | {"seconds": 0}
            for line in (run.folder / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (one, other)
    ]
    return (
        all(torch.equal(first[name], second[name]) for name in first)
        and np.array_equal(one.predictions("last").logits, other.predictions("last").logits)
        and rows[0] == rows[1]
    )


def killed_at(line: str, clips: PackedClips, runs: Path, changed: list[str]) -> None:
    """Train in a process of its own and kill it, as by `kill -9`, when it prints a line with `line`."""
    command = [sys.executable, str(Path(tiny.__file__)), str(clips.path), str(runs), *changed]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for told in process.stdout:
            if line in told:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
