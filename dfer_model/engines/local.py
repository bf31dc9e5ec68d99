"""Jobs on this machine: some at a time, with the GPUs dealt out among them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from submitit.core.core import Job
from submitit.local.local import LocalExecutor

from ..errors import InputError
from .work import Work

FOREVER_MIN = 60 * 24 * 365
STOPPING_S = 60.0  # a step on a slow CPU may take that long


@dataclass
class LocalEngine:
    """Up to `jobs` runs at a time, each on one of `gpus` (as CUDA_VISIBLE_DEVICES names them) or on the CPU.

    `jobs` is by default as many as the GPUs take with `runs_per_gpu` on each, on the CPU one. Raises
    InputError for more than that on GPUs.
    """

    folder: Path
    jobs: int = 0
    retries: int = 2
    runs_per_gpu: int = 1
    gpus: tuple[str, ...] = ()
    device: str = "auto"
    poll_s: float = 0.2
    _dealt: dict[str, str] = field(init=False, default_factory=dict)  # by job

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
        """One: runs that share a GPU are jobs that see the same."""
        return 1

    def room(self, at_work: int) -> int:
        """How many more of `jobs` may begin."""
        return self.jobs - at_work

    def submit(self, works: Sequence[Work], folder: Path) -> list[Job[Any]]:
        """Begin a process for each."""
        executor = LocalExecutor(folder)
        executor.update_parameters(timeout_min=FOREVER_MIN)
        begun: list[Job[Any]] = []
        for work in works:
            gpu = self._next_gpu()
            with _without_ctrl_c():
                job = executor.submit(replace(work, gpus=gpu, threads=self._threads()))
            self._dealt[job.job_id] = gpu
            begun.append(job)
        return begun

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """Those whose process has ended."""
        ended = {job.job_id: "" for job in jobs if job.done()}
        for job_id in ended:
            self._dealt.pop(job_id, None)
        return ended

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """Ask the processes to end, as the system does before it switches off."""
        for job in jobs:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)
        until = time.monotonic() + STOPPING_S
        while time.monotonic() < until and not all(job.done() for job in jobs):
            time.sleep(self.poll_s)

    def _next_gpu(self) -> str:
        """The GPU with the fewest runs, "" where there is none."""
        used = Counter(self._dealt.values())
        return min(self.gpus, key=used.__getitem__, default="")

    def _threads(self) -> int:
        """An equal share of the processors: with all of them each, runs would stand in each other's way."""
        return max(1, len(os.sched_getaffinity(0)) // self.jobs)


def visible_gpus(device: str) -> tuple[str, ...]:
    """The GPUs that `device` may mean, as CUDA_VISIBLE_DEVICES names them; none for the CPU.

    Raises InputError for "cuda" where there is none.
    """
    import torch

    from ..devices import choose_device

    if choose_device(device).type == "cpu":
        return ()
    named = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    count = torch.cuda.device_count()
    return tuple(named[:count]) or tuple(map(str, range(count)))


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep the terminal's Ctrl-C, which goes to the whole group, from processes begun here."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
