"""The checks of gpu_check.py: functions that return figures, and the criteria for them, in a table."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import step
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from gpu_kernels import TOLERANCE, attention, kernels_hold, variants
from gpu_setup import Figures, Setup, stored_setup
from torch import Tensor

from dfer_model.devices import choose_device
from dfer_model.distributed import data_parallel, group_options
from dfer_model.errors import OutOfMemory
from dfer_model.models.dfer_clip import DferClip
from dfer_model.progress import silent
from dfer_model.training.loop import train_epoch, train_run
from dfer_model.training.memory_need import need_of
from dfer_model.training.selection import current_model, predict

GIB = 2**30
CARD = 24 * 10**9  # bytes of a card of 24 GB, of which the driver takes a part
ROOM = 0.95
# The loss of few steps at these rates depends little on rounding.
SLOW = {"lr_temporal": 1e-3, "lr_context": 1e-4, "lr_image": 1e-6}


class Skipped(Exception):
    """A check that does not apply here."""


# The checks, in the order in which they run


def versions(setup: Setup) -> Figures:
    """Versions, and the rate of large bf16 matrix products."""
    size = 256 if setup.small or setup.device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=setup.device).bfloat16() for _ in range(2))

    def multiply(times: int) -> None:
        for _ in range(times):
            left @ right

    seconds = step.fastest({"": multiply}, setup.device, 2 if setup.small else 10)[""]
    cuda = setup.device.type == "cuda"
    return {
        "bf16_tflops": 2 * size**3 / seconds / 1e12,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "capability": ".".join(map(str, torch.cuda.get_device_capability())) if cuda else "",
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "cudnn": torch.backends.cudnn.version() or 0,
        "python": sys.version.split()[0],
    }


def cuda_tests(setup: Setup) -> Figures:
    """The tests that need a GPU."""
    if setup.device.type != "cuda":
        raise Skipped("they need a GPU")
    root = Path(__file__).parents[1]
    files = ("tests/model/data/test_prefetch.py", "tests/model/data/test_resampling.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped)", done.stdout)}
    return {"status": done.returncode, **counts, "end": done.stdout.strip().splitlines()[-1:]}


def losses(setup: Setup) -> Figures:
    """The loss after some steps, on the CPU and on the device, in fp32 and bf16."""
    few = {**SLOW, "batch_size": 4, "workers": 0, "tf32": False}
    cpu = torch.device("cpu")
    choose_device(setup.device.type, tf32=False)
    expected = _loss_after(setup, setup.training(cpu, precision="fp32", **few))
    found = {name: _loss_after(setup, setup.training(precision=name, **few)) for name in ("fp32", "bf16")}
    relative = {f"{name}_difference": abs(loss - expected) / expected for name, loss in found.items()}
    return {**relative, "fp32_cpu": expected, **found}


def _loss_after(setup: Setup, training: Any) -> float:
    """The cross-entropy of the test clips after 20 training steps, with `small` 2."""
    left, epoch = 2 if setup.small else 20, 0
    every = training.batches
    while left > 0:
        epoch += 1
        training.batches = [batch for batch, _ in zip(every, range(left), strict=False)]
        left -= len(training.batches)
        train_epoch(training, epoch, silent)
    tested = predict(training, current_model(training), training.test)
    return float(F.cross_entropy(torch.from_numpy(tested.logits), torch.from_numpy(tested.labels)))


def speed(setup: Setup) -> Figures:
    """The step against the plain fp32 step, its share of the bf16 rate, and memory with checkpointing."""
    settings = setup.settings.model_copy(update={"workers": 0})
    count, size = (2, 32) if setup.small else (48, 224)
    clips = step.Clips(count, settings.frames, size, setup.device)
    torch.set_float32_matmul_precision("highest")
    plain, _ = step.plain(settings, clips)
    fast, _ = step.fast(settings, clips)
    found = step.fastest({"plain": plain, "fast": fast}, setup.device, 1 if setup.small else 3)
    figures: Figures = {"times_plain": found["plain"] / found["fast"], "step_ms": 1e3 * found["fast"]}
    if setup.device.type == "cuda":
        rate = step.matrix_rate(torch.bfloat16, setup.device, 0)
        figures["share"] = step.operations(settings, clips) / found["fast"] / rate
        figures["clips_per_s"] = count / found["fast"]
        del plain, fast
        figures["checkpointing_gib"] = step.memory(settings, clips) / GIB
    return figures


def training(setup: Setup) -> Figures:
    """A training that is killed after an epoch and resumed; waits for the loader in its second epoch."""
    spec, runs = setup.spec(), setup.folder / "runs"
    killed = multiprocessing.get_context("fork").Process(target=_killed_after_an_epoch, args=(setup,))
    killed.start()
    killed.join()
    run = train_run(spec, setup.clips, runs, device=setup.device.type)
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    again: Any = setup.training()
    count = len(again.batches)
    read = [_seconds(lambda: sum(1 for _ in again.batches), setup.device) for _ in range(2)][-1] / count
    train_epoch(again, 1, silent)
    whole = _seconds(lambda: train_epoch(again, 2, silent), setup.device) / count
    kept = [{name: _pinned(value, setup.device) for name, value in each.items()} for each in again.batches]
    again.batches = kept
    alone = _seconds(lambda: train_epoch(again, 3, silent), setup.device) / count
    return {
        "busy": min(1.0, alone / whole),
        "loader_times_step": alone / read,
        "step_ms": 1e3 * whole,
        "exit_status": killed.exitcode,
        "epochs": [row["epoch"] for row in rows],
        "uar": run.result["measures"]["last"]["uar"],
    }


def _killed_after_an_epoch(setup: Setup) -> None:
    def report(done: float, _epochs: int, _note: str = "") -> None:
        if done > 1:
            os.kill(os.getpid(), signal.SIGKILL)

    train_run(setup.spec(), setup.clips, setup.folder / "runs", report=report, device=setup.device.type)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    return step.seconds(lambda _: work(), device, 1)


def _pinned(value: Tensor, device: torch.device) -> Tensor:
    return value.pin_memory() if device.type == "cuda" and not value.is_pinned() else value


def repeated(setup: Setup) -> Figures:
    """Memory, and models left alive, after each of three runs in one process without garbage collection."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401 - the first import leaves cycles with the frames of its callers

    def alive() -> int:
        return sum(type(each) is DferClip for each in gc.get_objects())

    gc.collect()
    before, allocated, models = alive(), [], []  # a process that imports this may have models
    gc.disable()
    for seed in (1, 2, 3):
        spec = setup.spec(seed=seed, epochs=1, milestones=())
        train_run(spec, setup.clips, setup.folder / "repeated", device=setup.device.type)
        allocated.append(torch.cuda.memory_allocated() if setup.device.type == "cuda" else 0)
        models.append(alive() - before)
    gc.enable()
    return {"growth_mib": (allocated[2] - allocated[0]) / 2**20, "models": models, "allocated": allocated}


def small_card(setup: Setup) -> Figures:
    """The default preset on a card of 24 GB, and the message where memory is too small."""
    cuda = setup.device.type == "cuda"
    with _limited(CARD * ROOM if cuda else 0):
        made = setup.training()
        need = need_of(made)
        made.batches = [batch for batch, _ in zip(made.batches, range(2), strict=False)]
        train_epoch(made, 1, silent)
        figures: Figures = {"need_gib": need.total / GIB if need else None}
        if not cuda:
            return figures
        figures["peak_gib"] = torch.cuda.max_memory_reserved() / GIB
        del made
    gc.collect()
    torch.cuda.empty_cache()
    with _limited(5 * GIB):
        try:
            spec = setup.spec(precision="fp32", epochs=1, milestones=())
            train_run(spec, setup.clips, setup.folder / "short", device="cuda")
            figures["message"] = ""
        except OutOfMemory as error:
            figures["message"] = str(error)
    return figures


@contextmanager
def _limited(size: float) -> Iterator[None]:
    """Bound the GPU memory of this process to a number of bytes; 0: no bound."""
    if size:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size / whole))
    try:
        yield
    finally:
        if size:
            torch.cuda.set_per_process_memory_fraction(1.0)


def together(setup: Setup) -> Figures:
    """A step under torchrun with one process, and the same step without."""
    if setup.device.type == "cpu":
        return wrapped_step(setup)
    given = [str(setup.folder), setup.device.type, str(int(setup.small))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    command = [*launcher, str(Path(__file__).resolve()), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    found: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def wrapped_step(setup: Setup) -> Figures:
    """The loss of a step with and without DistributedDataParallel, and the group's backends."""
    device = torch.device("cuda", 0) if setup.device.type == "cuda" else setup.device
    if "RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    dist.init_process_group(**group_options(device))
    found: dict[str, tuple[float, float]] = {}
    for name in ("alone", "wrapped"):
        made = setup.training(device, workers=0)
        if name == "wrapped":
            made.forward = data_parallel(made.model)
        made.batches = [next(iter(made.batches))]
        loss = train_epoch(made, 1, silent)
        found[name] = loss, float(sum(each.double().sum() for each in made.model.parameters()))
    summed = torch.ones((), device=device)
    dist.all_reduce(summed)
    backend = str(dist.get_backend_config())
    dist.destroy_process_group()
    return {
        "loss_difference": abs(found["wrapped"][0] - found["alone"][0]),
        "weights_difference": abs(found["wrapped"][1] - found["alone"][1]),
        "reduced": float(summed),
        "backend": backend,
    }


# The table


@dataclass(frozen=True)
class Criterion:
    """What the figures of a check must meet; on a CPU only if not `gpu_only`."""

    text: str
    holds: Callable[[Mapping[str, Any]], bool]
    gpu_only: bool = True


@dataclass(frozen=True)
class Check:
    """A check, its criteria and its time limit in seconds."""

    name: str
    function: Callable[[Setup], Figures]
    criteria: tuple[Criterion, ...]
    limit_s: float


CHECKS = (
    Check(
        "versions",
        versions,
        (
            Criterion(
                "700 TFLOP/s of bf16 products on an H200",
                lambda found: "H200" not in found["device"] or found["bf16_tflops"] >= 700,
            ),
        ),
        60,
    ),
    Check(
        "tests",
        cuda_tests,
        (Criterion("the CUDA tests pass", lambda found: found["status"] == 0 and found["passed"] > 0),),
        120,
    ),
    Check(
        "losses",
        losses,
        (
            Criterion(
                "fp32 within 0.1% of the CPU", lambda found: found["fp32_difference"] <= 1e-3, gpu_only=False
            ),
            Criterion(
                "bf16 within 2% of fp32", lambda found: found["bf16_difference"] <= 0.02, gpu_only=False
            ),
        ),
        100,
    ),
    Check(
        "attention",
        attention,
        (Criterion(f"errors up to {TOLERANCE:.0%} except cuDNN", kernels_hold, gpu_only=False),),
        40,
    ),
    Check(
        "speed",
        speed,
        (
            Criterion("6 times the plain fp32 step", lambda found: found["times_plain"] >= 6),
            Criterion("45% of the bf16 rate", lambda found: found["share"] >= 0.45),
            Criterion("under 8 GiB with checkpointing", lambda found: found["checkpointing_gib"] < 8),
        ),
        100,
    ),
    Check(
        "training",
        training,
        (
            Criterion("killed", lambda found: found["exit_status"] == -signal.SIGKILL, gpu_only=False),
            Criterion("resumed after epoch 1", lambda found: found["epochs"] == [1, 2], gpu_only=False),
            Criterion("the GPU is busy 85% of the time", lambda found: found["busy"] > 0.85),
            Criterion("the loader is faster than the step", lambda found: found["loader_times_step"] > 1),
        ),
        120,
    ),
    Check(
        "three runs",
        repeated,
        (
            Criterion("no memory stays", lambda found: found["growth_mib"] < 1, gpu_only=False),
            Criterion("no model stays", lambda found: found["models"] == [0, 0, 0], gpu_only=False),
        ),
        90,
    ),
    Check(
        "24 GB",
        small_card,
        (
            Criterion("the default preset fits", lambda found: found["peak_gib"] * GIB < CARD),
            Criterion("too little memory is an error", lambda found: "ran out" in found["message"]),
        ),
        60,
    ),
    Check(
        "variants",
        variants,
        (Criterion("unbind gives the same gradients", lambda found: found["unbind_equal"], gpu_only=False),),
        90,
    ),
    Check(
        "torchrun",
        together,
        (
            Criterion("the same loss", lambda found: found["loss_difference"] == 0, gpu_only=False),
            Criterion("NCCL", lambda found: "nccl" in found["backend"] and found["reduced"] == 1),
        ),
        60,
    ),
)


def main() -> None:
    """The part of `together` that torchrun starts: FOLDER DEVICE SMALL."""
    folder, device, small = sys.argv[1:]
    print(json.dumps(wrapped_step(stored_setup(torch.device(device), Path(folder), small=small == "1"))))


if __name__ == "__main__":
    main()
