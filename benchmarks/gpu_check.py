"""Checks training on a GPU in under nine minutes: `python benchmarks/gpu_check.py [--only NAME]`.

It needs no network: clips are drawn, and CLIP ViT-B/32 has random weights. Each check runs in a process of
its own with a time limit, so that an error on the GPU, or a check that does not end, fails this check only.
The table and the JSON, in `results/` or at `--out`, have the figures of each check and whether they meet its
criterion. The exit status is 1 if one does not. `--small` runs every check on a small model in about a
minute; on a CPU the criteria of a GPU do not apply.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

# Asks the driver without starting CUDA, which the processes of the checks could not start again after that.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

import torch
from gpu_checks import CHECKS, Check, Skipped
from gpu_setup import Setup, drawn_setup
from results import record
from rich.console import Console
from rich.table import Table

TOTAL_S = 525.0
LISTED = 4  # figures of a check in the table
COLOURS = {"passed": "green", "failed": "bold red", "measured": "", "skipped": "yellow"}


@dataclass(frozen=True)
class Row:
    """The result of a check; `failed` names the unmet criteria, or the error."""

    name: str
    status: Literal["passed", "failed", "measured", "skipped"]
    seconds: float
    figures: Mapping[str, Any]
    failed: tuple[str, ...] = ()


def judged(check: Check, figures: Mapping[str, Any], seconds: float, device: torch.device) -> Row:
    """The row of a check that ended with `figures`; "measured" if no criterion applies to the device."""
    applying = [each for each in check.criteria if device.type == "cuda" or not each.gpu_only]
    failed = tuple(each.text for each in applying if not each.holds(figures))
    status: Any = "failed" if failed else "passed" if applying else "measured"
    return Row(check.name, status, seconds, figures, failed)


def run(check: Check, setup: Setup, limit: float) -> Row:
    """Run a check in a forked process for at most `limit` seconds."""
    if limit <= 0:
        return Row(check.name, "failed", 0.0, {}, (f"no time was left of {TOTAL_S:g} s",))
    forking = multiprocessing.get_context("fork")
    receiver, sender = forking.Pipe(duplex=False)
    process = forking.Process(target=_inside, args=(sender, check, setup))
    began = time.monotonic()
    process.start()
    sender.close()
    said: tuple[str, Any] = ("error", f"not done after {limit:.0f} s")
    if receiver.poll(limit):
        try:
            said = receiver.recv()
        except EOFError:
            said = ("error", "its process ended without a result")
    with suppress(ProcessLookupError):  # with the processes that it has started
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    seconds = round(time.monotonic() - began, 1)
    kind, value = said
    if kind == "figures":
        return judged(check, value, seconds, setup.device)
    return Row(check.name, "skipped" if kind == "skipped" else "failed", seconds, {}, (value,))


def _inside(sender: Connection, check: Check, setup: Setup) -> None:
    os.setsid()
    log = os.open(setup.folder / f"{check.name}.log", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    if setup.device.type == "cpu":
        torch.set_num_threads(1)  # the threads of the parent do not exist here
    try:
        sender.send(("figures", check.function(setup)))
    except Skipped as reason:
        sender.send(("skipped", str(reason)))
    except BaseException as error:  # noqa: BLE001 - a check that fails is a row of the table
        lines = str(error).strip().splitlines() or [""]
        sender.send(("error", f"{type(error).__name__}: {lines[0]}"))


def table(rows: Sequence[Row]) -> Table:
    """A line per check, with its first figures, or the criteria that it does not meet."""
    made = Table("check", "result", "seconds", "figures", title="gpu_check", title_justify="left")
    for row in rows:
        figures = [f"{name} {_short(value)}" for name, value in [*row.figures.items()][:LISTED]]
        says = "; ".join([*(f"not met: {each}" if row.figures else each for each in row.failed), *figures])
        colour = COLOURS[row.status]
        made.add_row(row.name, f"[{colour}]{row.status}" if colour else row.status, f"{row.seconds}", says)
    return made


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """The value for JSON, which has no infinite numbers: these as text."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def main(words: Sequence[str] | None = None) -> int:
    """Run the checks, print the table, write the JSON; 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--small", action="store_true", help="a small model; its figures mean nothing")
    parser.add_argument("--only", action="append", choices=[each.name for each in CHECKS], help="a check")
    parser.add_argument("--out", type=Path, help="the JSON; default: results/ (with --small: none)")
    arguments = parser.parse_args(words)
    available = torch.cuda.is_available()
    device = torch.device("cuda" if available and arguments.device != "cpu" else "cpu")
    if arguments.device == "cuda" and not available:
        parser.error("torch sees no CUDA device")
    if device.type == "cpu" and not arguments.small:
        parser.error("a CPU needs --small")
    rows: list[Row] = []
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        setup = drawn_setup(device, Path(folder), small=arguments.small)
        for check in CHECKS:
            if arguments.only is None or check.name in arguments.only:
                left = TOTAL_S - (time.monotonic() - began)
                rows.append(run(check, setup, min(check.limit_s, left)))
    Console(width=110).print(table(rows))
    figures = {
        "device": device.type,
        "small": arguments.small,
        "checks": [plain(asdict(row)) for row in rows],
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    elif not arguments.small:
        record("gpu_check", figures, device.type)
    return int(any(row.status == "failed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
