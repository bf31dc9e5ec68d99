"""What an engine is asked: to begin jobs, to say which are over, and to end them.

Ctrl-C and SIGTERM while jobs are begun or ended, which must not stop half-way.
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
    """A run in a job, which may train others beside it."""

    job: Job[Any]
    number: int

    def outcome(self, written: set[str]) -> Outcome | None:
        """What it left behind, None where nothing; `written` are the names in the folder of jobs."""
        path = self.job.task(self.number).paths.result_pickle
        if path.name not in written:
            return None
        kind, value = pickle_load(path)
        if kind == "success" and isinstance(value, Outcome):
            return value
        return Outcome("lost", str(value).strip().splitlines()[-1])

    def last_words(self) -> str:
        """The last line of what it said of errors, but for what submitit says of every job."""
        lines = (self.job.task(self.number).stderr() or "").splitlines()
        return next((line for line in reversed(lines) if line and not line.startswith("submitit ")), "")


class Engine(Protocol):
    """Where jobs run.

    `folder` is where the jobs of a grid have theirs, `retries` how often a run is begun again, `device` what
    it is trained on, `poll_s` the seconds between two looks at the folder of jobs, and `pause_s` those before
    jobs that were refused are submitted again.
    """

    folder: Path
    retries: int
    device: str
    poll_s: float
    pause_s: float

    @property
    def runs_per_job(self) -> int:
        """How many runs are trained side by side in one job."""

    def room(self, at_work: int) -> int:
        """How many more jobs may begin beside those at work."""

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        """Begin a job for each in turn, with logs and answers in `folder`. Raises WorkError when refused."""

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """By id, those that are at work no more, and the system's word for how they ended, or nothing."""

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """End them, and wait until they have ended."""


ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unbroken() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM that come meanwhile do at the end of the block what they would have done before.

    Processes begun in it do not hear the terminal's Ctrl-C, which goes to the whole group. In another thread
    than the first, where neither is heard, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    had = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda number, _frame: came.append(number))
    # Blocked for those begun here; SIGTERM is not, for it is what ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in had.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
