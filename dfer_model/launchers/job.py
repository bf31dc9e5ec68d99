"""What a job does: one run, trained in a process of its own. Imports no torch until then."""

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
from typing import Any, Literal, NamedTuple, NoReturn

from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import DelayedSubmission

from dfer_model.training.run_lock import taken

from ..errors import BusyError, DferError, InputError, Interrupted, LostError, OutOfMemory
from ..runs import RunSpec

# A task of Slurm is no part of a computation over several processes, which these would say it is.
NO_RANKS = ("PMI_RANK", "PMI_SIZE", "PMIX_RANK")
TERMINATED = 128 + signal.SIGTERM
MOMENT_S = 3.0


class Outcome(NamedTuple):
    """How a run's job ended.

    It is "trained", at work "elsewhere", "failed" in a way that another attempt would repeat, or "lost": an
    attempt that something ended, so that another may help.
    """

    status: Literal["trained", "elsewhere", "failed", "lost"]
    said: str = ""


@dataclass(frozen=True)
class Attempts:
    """How often a run was begun: a line in a file for each time, for jobs that a cluster begins again too."""

    path: Path

    def begin(self) -> None:
        """Write down that this process begins."""
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
        """Strike the last time out: nothing was begun after all."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        os.truncate(self.path, sum(map(len, lines[:-1])))

    def begun(self) -> list[dict[str, Any]]:
        """Each time's host, process and GPUs, the first before the others."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


@dataclass(frozen=True)
class Work:
    """A job: of its `specs` each of its tasks trains one, as every other process would.

    A run is begun at most `retries` times again. `gpus` is what the job sees of the machine's (as
    CUDA_VISIBLE_DEVICES), None for what the cluster gives; `threads` are the CPU threads of each task, and
    `trackers` follow their epochs. Where a GPU is `shared` with other runs, one
    that is out of memory is begun again; else it has failed.
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
        # Some clusters send a job's signals to all of its processes, and a loading process that answered
        # as the job does would have it begun again a second time.
        os.register_at_fork(after_in_child=_ignore_preemption)
        for name in NO_RANKS:
            os.environ.pop(name, None)
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        if self.threads is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))
        # Not SLURM_PROCID, which a process on this machine has of the srun that began the command.
        task = JobEnvironment().global_rank
        if task >= len(self.specs):  # the last job of an array may have fewer runs than tasks
            return Outcome("elsewhere")
        return self.train(self.specs[task], self.attempts[task])

    def train(self, spec: RunSpec, attempts: Attempts) -> Outcome:
        """Train one run, unless it is at work elsewhere or was begun too often."""
        if taken(spec.folder(self.runs)):
            return Outcome("elsewhere")
        if len(attempts.begun()) > self.retries:
            return Outcome("failed", f"it was begun {len(attempts.begun())} times, and never ended")
        attempts.begin()
        try:
            return self._trained(spec)
        except BusyError:
            attempts.take_back()
            return Outcome("elsewhere")
        except Interrupted:
            raise
        except LostError as error:
            # Who ends a job may end its loading processes a moment earlier: then that is what ended it.
            time.sleep(MOMENT_S)
            return Outcome("lost", str(error).splitlines()[0])
        except DferError as error:
            # Where other runs share the GPU, there may be room once one of them has ended.
            again = self.shared and isinstance(error, OutOfMemory)
            return Outcome("lost" if again else "failed", str(error))

    def _trained(self, spec: RunSpec) -> Outcome:
        from dfer_model.training.loggers import Tracking
        from dfer_model.training.loop import train_run

        from ..data.packed import PackedClips
        from ..data.streaming import StreamedClips

        streamed = isinstance(spec.dataset, str)
        clips = StreamedClips.open(spec.dataset) if streamed else PackedClips.open(spec.dataset)
        if clips.fingerprint != spec.dataset_fingerprint:
            raise InputError(
                f"{spec.dataset} does not hold the clips of the grid any more\nGive the command again"
            )
        tracking = Tracking(self.trackers, _say)
        train_run(spec, clips, self.runs, report=_told(), device=self.device, tracking=tracking, note=_say)
        return Outcome("trained")

    def checkpoint(self) -> DelayedSubmission:
        """What a job that reaches its time limit leaves to its next start: the same, for runs go on."""
        return DelayedSubmission(self)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End now: the last whole epoch is kept, and who asks for the end takes the machine away soon."""
    # Not by an exception, which what it cuts off, a file half written, could turn into an error of its own.
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(TERMINATED)


def _ignore_preemption() -> None:
    signal.signal(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"], signal.SIG_IGN)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _told() -> Callable[[int, int, str], None]:
    """A line in the job's log for each epoch."""
    last = -1

    def report(done: float, epochs: int, note: str = "") -> None:
        nonlocal last
        epoch = int(done)
        if epoch != last:
            last = epoch
            _say(f"epoch {epoch} of {epochs} {note}")

    return report
