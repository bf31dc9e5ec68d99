"""The local engine: parallel jobs on this machine, distributed over its GPUs."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from submitit.core.core import Job
from submitit.local.local import LocalExecutor

from dfer_model.launch import cores

from ..errors import InputError, WorkError
from .job import Work
from .launcher import unbroken

FOREVER_MIN = 60 * 24 * 365
STOPPING_S = 60.0  # a step on a slow CPU may take this long
# Errors that mean that no process can be started; others, such as a full disk, are raised.
START_ERRORS = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOENT}
LISTING_S = 20.0  # timeout of nvidia-smi, which may load the driver first
STOP_RETRY_S = 1.0  # a process that is just starting may miss the first signal


@dataclass
class LocalEngine:
    """Up to `jobs` runs at a time, each on one of `gpus` (as CUDA_VISIBLE_DEVICES names them) or on the CPU.

    `jobs` is by default `runs_per_gpu` times the number of GPUs, and 1 on the CPU. Raises InputError for more
    than that on GPUs.
    """

    folder: Path
    jobs: int = 0
    retries: int = 2
    runs_per_gpu: int = 1
    gpus: tuple[str, ...] = ()
    device: str = "auto"
    poll_s: float = 0.2
    pause_s: float = 30.0
    _assigned: list[tuple[Job[Any], str]] = field(init=False, default_factory=list)  # jobs and their GPU

    def __post_init__(self) -> None:
        most = len(self.gpus) * self.runs_per_gpu
        self.jobs = self.jobs or most or 1
        if self.gpus and self.jobs > most:
            raise InputError(
                f"{self.jobs} runs at a time are more than {self.runs_per_gpu} on each of "
                f"{len(self.gpus)} GPUs\nGive --runs-per-gpu {-(-self.jobs // len(self.gpus))}, "
                f"or --jobs {most}"
            )

    @property
    def runs_per_job(self) -> int:
        """One: runs that share a GPU are separate jobs with the same GPU."""
        return 1

    def room(self, at_work: int) -> int:
        """The number of further jobs up to `jobs`."""
        return self.jobs - at_work

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        """Start a process for each. Raises WorkError if the system cannot start another."""
        executor = LocalExecutor(folder)
        executor.update_parameters(timeout_min=FOREVER_MIN)
        for work in works:
            gpu = self._next_gpu()
            try:
                job = executor.submit(
                    replace(
                        work, gpus=gpu, threads=self._threads(), shared=bool(gpu) and self.runs_per_gpu > 1
                    )
                )
            except OSError as error:
                if error.errno not in START_ERRORS:
                    raise
                raise WorkError(
                    f"no process can be started: {error}\nEnd other work on this machine, or lower --jobs"
                ) from error
            self._assigned.append((job, gpu))
            yield job

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """Those whose process has ended."""
        return {job.job_id: "" for job in jobs if job.done()}

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """Send SIGTERM to the processes, repeatedly, and wait for their end."""
        until = time.monotonic() + STOPPING_S
        while time.monotonic() < until and (left := [job for job in jobs if not job.done()]):
            with unbroken():
                for job in left:
                    os.kill(int(job.job_id), signal.SIGTERM)
            self._wait_for(left)

    def _wait_for(self, jobs: Sequence[Job[Any]]) -> None:
        """Wait until all have ended, but at most until the next signal."""
        until = time.monotonic() + STOP_RETRY_S
        while time.monotonic() < until and not all(job.done() for job in jobs):
            time.sleep(self.poll_s)

    def _next_gpu(self) -> str:
        """The GPU with the fewest runs, "" without GPUs; a run with an outcome counts as ended."""
        self._assigned = [
            (job, gpu)
            for job, gpu in self._assigned
            if not job.done() and not job.paths.result_pickle.exists()
        ]
        used = Counter(gpu for _, gpu in self._assigned)
        return min(self.gpus, key=used.__getitem__, default="")

    def _threads(self) -> int:
        """An equal share of the CPU cores, so that runs do not compete for them."""
        return max(1, cores() // self.jobs)


def visible_gpus(device: str) -> tuple[str, ...]:
    """The GPUs that `device` may mean, as CUDA_VISIBLE_DEVICES names them; none for the CPU.

    Raises InputError for "cuda" if there is none.
    """
    import torch

    from dfer_model.devices import choose_device

    if choose_device(device).type == "cpu":
        return ()
    return gpu_names(os.environ.get("CUDA_VISIBLE_DEVICES", ""), torch.cuda.device_count(), _nvidia_smi())


def gpu_names(visible: str, count: int, listing: str) -> tuple[str, ...]:
    """The GPUs that runs can be distributed over, as CUDA_VISIBLE_DEVICES names them.

    `visible` is this variable, `count` the number of GPUs that torch sees, and `listing` the output of
    `nvidia-smi -L`. Each instance of MIG (a part of a GPU) is one, although a process can use only one
    instance and torch therefore sees one.
    """
    named = [each.strip() for each in visible.split(",") if each.strip()]
    if any(each.startswith("MIG-") for each in named):
        return tuple(each for each in named if each.startswith("MIG-"))
    gpus = re.split(r"^GPU \d+:", listing, flags=re.MULTILINE)[1:]
    instances = [re.findall(r"UUID: (MIG-[^)\s]+)", each) for each in gpus]
    if not named and instances and all(instances):
        return tuple(itertools.chain.from_iterable(instances))
    return tuple(named[:count]) or tuple(map(str, range(count)))


def _nvidia_smi() -> str:
    """The output of `nvidia-smi -L`; "" if it is not installed or fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            [command, "-L"], capture_output=True, text=True, check=False, timeout=LISTING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout
