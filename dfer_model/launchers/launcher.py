"""The interface of engines: starting jobs, listing ended ones, and cancelling them.

`unbroken` delays Ctrl-C and SIGTERM while jobs are started or cancelled.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from submitit.core.core import Job
from submitit.core.utils import pickle_load

from .job import Outcome, Work


class Task(NamedTuple):
    """A run in a job, which may train several runs."""

    job: Job[Any]
    number: int

    def outcome(self, written: set[str]) -> Outcome | None:
        """Its stored outcome, None if there is none; `written` are the file names in the folder of jobs."""
        path = self.job.task(self.number).paths.result_pickle
        if path.name not in written:
            return None
        kind, value = pickle_load(path)
        if kind == "success" and isinstance(value, Outcome):
            return value
        return Outcome("lost", str(value).strip().splitlines()[-1])

    def last_error_line(self) -> str:
        """The last line of its standard error, without the lines that submitit writes for every job."""
        lines = (self.job.task(self.number).stderr() or "").splitlines()
        return next((line for line in reversed(lines) if line and not line.startswith("submitit ")), "")


class Engine(Protocol):
    """Where jobs run.

    `folder` is the parent of the folders of jobs, `retries` the number of restarts of a run, `device` the
    device of training, `poll_s` the seconds between checks of the folder of jobs, and `pause_s` those before
    refused jobs are submitted again.
    """

    folder: Path
    retries: int
    device: str
    poll_s: float
    pause_s: float

    @property
    def runs_per_job(self) -> int:
        """The number of runs trained in parallel in one job."""

    def room(self, at_work: int) -> int:
        """The number of further jobs that may start beside those at work."""

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        """Start a job for each in turn, with logs and outcomes in `folder`. Raises WorkError if refused."""

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """The ended jobs: id -> the system's state of the job, or "" if unknown."""

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """Cancel them and wait until they have ended."""


ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unbroken() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block.

    Processes started in it ignore the terminal's Ctrl-C, which goes to the whole process group. Outside the
    main thread, which alone receives signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    had = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda number, _frame: came.append(number))
    # Blocked for processes started here; SIGTERM is not, because it ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in had.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
