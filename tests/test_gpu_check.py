"""benchmarks/gpu_check.py: it runs on a CPU, and a check that fails, hangs or dies is a row of its table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from .test_readme import ROOT

pytestmark = pytest.mark.skipif(
    torch.cuda.is_initialized(),  # type: ignore[no-untyped-call]
    reason="CUDA cannot be used in a fork of a process that uses it",
)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the benchmark."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import gpu_check
    import gpu_checks

    return SimpleNamespace(
        run=gpu_check.run,
        plain=gpu_check.plain,
        Check=gpu_checks.Check,
        checks=gpu_checks,
    )


def test_every_check_runs_on_a_cpu(benchmark: Any, tmp_path: Path) -> None:
    """In a process of its own: a fork of a process that has used autograd cannot always use it."""
    out = tmp_path / "checks.json"
    command = [sys.executable, str(ROOT / "benchmarks/gpu_check.py"), "--small", "--device", "cpu"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(out.read_text())["checks"]
    assert {each["name"]: each["status"] for each in checks} == {
        "versions": "measured",
        "tests": "skipped",
        "losses": "passed",
        "attention": "passed",
        "speed": "measured",
        "training": "passed",
        "three runs": "passed",
        "24 GB": "measured",
        "variants": "passed",
        "torchrun": "passed",
    }
    assert json.dumps(benchmark.plain({"a": {"b": float("inf")}}), allow_nan=False) == '{"a": {"b": "inf"}}'
    assert [each["name"] for each in checks if f"│ {each['name']}" not in done.stdout] == []


def wrong(_: object) -> dict[str, Any]:
    raise ValueError("no such kernel\nmore of it")


def slow(_: object) -> dict[str, Any]:
    time.sleep(60)
    return {}


def killed(_: object) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def low(_: object) -> dict[str, Any]:
    return {"rate": 1}


@pytest.mark.parametrize(
    ("function", "limit", "failed"),
    [
        (wrong, 60, "ValueError: no such kernel"),
        (slow, 0.2, "not done after 0 s"),
        (killed, 60, "its process ended without a result"),
        (low, 60, "a rate of 2"),
        (low, 0, "no time was left of 525 s"),
    ],
)
def test_a_failed_check_is_a_row(
    benchmark: Any, tmp_path: Path, function: Any, limit: float, failed: str
) -> None:
    setup = SimpleNamespace(device=torch.device("cpu"), folder=tmp_path)
    criterion = benchmark.checks.Criterion("a rate of 2", lambda found: found["rate"] >= 2, gpu_only=False)
    row = benchmark.run(benchmark.Check("check", function, (criterion,), 60), setup, limit)
    assert (row.status, row.failed) == ("failed", (failed,))
