"""A job: trains one run in its own process. Imports torch only then."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import DelayedSubmission

from dfer_model.training.run_lock import taken

from ..errors import BusyError, DferError, InputError, Interrupted, LostError, OutOfMemory
from ..runs import RunSpec

if TYPE_CHECKING:
    from ..data.packed import PackedClips
    from ..data.streaming import StreamedClips

# With these variables a Slurm task would count as one process of a distributed training.
NO_RANKS = ("PMI_RANK", "PMI_SIZE", "PMIX_RANK")
TERMINATED = 128 + signal.SIGTERM
MOMENT_S = 3.0


class Outcome(NamedTuple):
    """How a run's job ended.

    "trained", "elsewhere" (another process trains it), "failed" (a retry would fail as well), or "lost"
    (ended from outside, so a retry may succeed).
    """

    status: Literal["trained", "elsewhere", "failed", "lost"]
    message: str = ""


@dataclass(frozen=True)
class Attempts:
    """The attempts of a run: a line in a file for each start, including restarts by the cluster."""

    path: Path

    def begin(self) -> None:
        """Record that this process starts."""
        place = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(place) + "\n")

    def take_back(self) -> None:
        """Remove the last record: nothing was started."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        os.truncate(self.path, sum(map(len, lines[:-1])))

    def begun(self) -> list[dict[str, Any]]:
        """Host, process and GPUs of each start, in order."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


@dataclass(frozen=True)
class Work:
    """A job: each of its tasks trains one of `specs`, as any other process would.

    A run is restarted at most `retries` times. `gpus` are the visible GPUs (as CUDA_VISIBLE_DEVICES), None
    for those of the cluster; `threads` are the cores of each task, which has as many threads and, if their
    number is not set, workers; `trackers` log the runs. If a GPU is `shared` with other runs, a run that is
    out of memory is retried; else it has failed.
    """

    specs: tuple[RunSpec, ...]
    attempts: tuple[Attempts, ...]
    runs: Path
    device: str
    retries: int
    gpus: str | None = None
    threads: int | None = None
    trackers: tuple[str, ...] = ()
    shared: bool = False

    def __call__(self) -> Outcome:
        """Train the run of this task."""
        signal.signal(signal.SIGTERM, _leave)
        # Some clusters send a job's signals to all of its processes; a data loading process must not handle
        # them as the job does, or the job would be restarted twice.
        os.register_at_fork(after_in_child=_ignore_preemption)
        for name in NO_RANKS:
            os.environ.pop(name, None)
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        if self.threads is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))
        # Not SLURM_PROCID, which a local process inherits if the command was started by srun.
        task = JobEnvironment().global_rank
        if task >= len(self.specs):  # the last job of an array may have fewer runs than tasks
            return Outcome("elsewhere")
        return self.train(self.specs[task], self.attempts[task])

    def train(self, spec: RunSpec, attempts: Attempts) -> Outcome:
        """Train one run, unless another process trains it or it was started too often."""
        if taken(spec.folder(self.runs)):
            return Outcome("elsewhere")
        if len(attempts.begun()) > self.retries:
            return Outcome("failed", f"it was started {len(attempts.begun())} times and never finished")
        attempts.begin()
        try:
            return self._trained(spec)
        except BusyError:
            attempts.take_back()
            return Outcome("elsewhere")
        except Interrupted:
            raise
        except LostError as error:
            # If the job is killed from outside, its loading processes may die first; wait for the signal.
            time.sleep(MOMENT_S)
            return Outcome("lost", str(error).splitlines()[0])
        except DferError as error:
            # If other runs share the GPU, memory may be free once one of them has ended.
            again = self.shared and isinstance(error, OutOfMemory)
            return Outcome("lost" if again else "failed", str(error))

    def _trained(self, spec: RunSpec) -> Outcome:
        clips = _clips(spec)
        if clips.fingerprint != spec.dataset_fingerprint:
            raise InputError(f"{spec.dataset} no longer has the clips of the grid\nRun the command again")
        # Only now, because torch takes seconds to import and a run without its clips does not need it.
        from dfer_model.training.loggers import Tracking
        from dfer_model.training.loop import train_run

        tracking = Tracking(self.trackers, _print_line)
        train_run(
            spec,
            clips,
            self.runs,
            report=_epoch_lines(),
            device=self.device,
            tracking=tracking,
            note=_print_line,
            cores=self.threads,
        )
        return Outcome("trained")

    def checkpoint(self) -> DelayedSubmission:
        """The job to submit at the time limit: the same one, because runs are resumed."""
        return DelayedSubmission(self)


def _clips(spec: RunSpec) -> PackedClips | StreamedClips:
    from ..data.packed import PackedClips

    if not isinstance(spec.dataset, str):
        return PackedClips.open(spec.dataset)
    from ..data.streaming import StreamedClips

    return StreamedClips.open(spec.dataset)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit immediately: the last checkpoint is stored, and the machine may be taken away soon."""
    # Not by an exception, which the interrupted code could turn into another error.
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(TERMINATED)


def _ignore_preemption() -> None:
    signal.signal(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"], signal.SIG_IGN)


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _epoch_lines() -> Callable[[int, int, str], None]:
    """A report that writes a line to the job's log for each epoch."""
    last = -1

    def report(done: float, epochs: int, note: str = "") -> None:
        nonlocal last
        epoch = int(done)
        if epoch != last:
            last = epoch
            _print_line(f"{epoch} of {epochs} epochs; {note}" if note else f"{epoch} of {epochs} epochs")

    return report
