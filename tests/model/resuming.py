"""Interrupts a training, and compares two runs bit by bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from dfer_model.runs import Run


class Stop(Exception):
    """Raised by a test in the middle of a training."""


def stopping(at: str, error: type[BaseException]) -> Any:
    """A report function that raises `error` at the first note that contains `at`."""

    def report(done: int, total: int, note: str = "") -> None:
        if at in note:
            raise error

    return report


def same_result(one: Run, other: Run) -> bool:
    """Whether weights, predictions and metrics of two runs are bit-equal."""
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
