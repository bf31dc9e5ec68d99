"""Jobs of a Slurm cluster: the runs of a grid as one array, each begun again from its last whole epoch."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from submitit.core.core import Job
from submitit.core.utils import FailedJobError, FailedSubmissionError, environment_variables
from submitit.helpers import clean_env
from submitit.slurm.slurm import SlurmExecutor

from ..errors import InputError, WorkError
from .job import Work
from .launcher import unbroken

NAME = "dfer-prompts"
MOST = 1000
MINUTES = 60  # where no time is given
ANSWER_S = 60.0  # after which Slurm is taken not to answer
# Of the environment's words for Slurm, those that say which cluster is meant; the others are of a job.
OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
# Of squeue: all others are ends.
AT_WORK = {
    "COMPLETING", "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING",
    "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
}  # fmt: skip
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


@dataclass
class SlurmEngine:
    """An array of jobs, at most `jobs` runs at a time (None: as many as the cluster gives).

    `options` are those of sbatch, by their long names (`partition`, `gres`, `cpus-per-task`), `setup` lines
    of shell before the training, `runs_per_gpu` the tasks of a job, which share what the job is given. The
    queue is asked every `ask_s` seconds at most. Raises InputError where there is no Slurm, and for a `time`
    that Slurm would not read.
    """

    folder: Path
    options: Mapping[str, str | int]
    setup: tuple[str, ...] = ()
    jobs: int | None = None
    retries: int = 2
    runs_per_gpu: int = 1
    device: str = "auto"
    poll_s: float = 1.0
    ask_s: float = 15.0
    pause_s: float = 30.0
    _asked: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        minutes(self.options.get("time", MINUTES))
        missing = [each for each in ("sbatch", "srun", "squeue", "scancel") if shutil.which(each) is None]
        if missing:
            raise InputError(
                f"no Slurm here: {missing[0]} is not found\n"
                "Give the command on a machine that submits to the cluster, or take --engine local"
            )

    @property
    def runs_per_job(self) -> int:
        """As many as share a GPU."""
        return min(self.runs_per_gpu, self.jobs or self.runs_per_gpu)

    def room(self, at_work: int) -> int:
        """As many as an array of Slurm may have by default, which itself keeps to `jobs` at a time.

        It knows nothing of other arrays: beside it there is room for what it leaves of `jobs` at its end.
        """
        most = self._at_a_time() if at_work else MOST
        return max(0, most - at_work)

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        """Submit an array of them. Raises WorkError with sbatch's own words."""
        self._asked = time.monotonic()
        executor = SlurmExecutor(folder, max_num_timeout=self.retries)
        executor.update_parameters(**self._parameters())
        threads = int(self.options["cpus-per-task"]) if "cpus-per-task" in self.options else None
        shared = self.runs_per_job > 1
        try:
            # submitit repeats on standard error what it raises.
            with redirect_stderr(io.StringIO()), _of_no_job(), executor.batch():
                jobs = [executor.submit(replace(work, threads=threads, shared=shared)) for work in works]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            for left in [*folder.glob(f"{'?' * 32}.pkl"), *folder.glob(".submission_file_*.sh")]:
                left.unlink(missing_ok=True)
            raise WorkError(
                f"Slurm takes no job: {_sbatch_words(error)}\nSee `slurm:` in dfer.yaml (docs/clusters.md)"
            ) from error
        yield from jobs

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """Those the queue has no more, or has with how they ended; nothing where it was asked just now."""
        if not jobs or time.monotonic() - self._asked < self.ask_s:
            return {}
        self._asked = time.monotonic()
        states = queued_states()
        if states is None:
            return {}
        return {
            job.job_id: states.get(job.job_id, "")
            for job in jobs
            if states.get(job.job_id, "") not in AT_WORK
        }

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """Take them out of the queue, which ends those at work."""
        if jobs:
            with unbroken():
                _said_by("scancel", *(job.job_id for job in jobs))

    def _at_a_time(self) -> int:
        """Jobs that may be at work together."""
        return MOST if self.jobs is None else self.jobs // self.runs_per_job

    def _parameters(self) -> dict[str, Any]:
        others = {key: value for key, value in self.options.items() if key != "time"}
        parameters: dict[str, Any] = {
            "job_name": NAME,
            "time": minutes(self.options.get("time", MINUTES)),
            "array_parallelism": self._at_a_time(),
            "additional_parameters": others,
        }
        if self.setup:
            parameters["setup"] = list(self.setup)
        if self.runs_per_job > 1:
            parameters["ntasks_per_node"] = self.runs_per_job
        if "cpus-per-task" in others:
            # srun does not take it over from sbatch.
            parameters["srun_args"] = [f"--cpus-per-task={others['cpus-per-task']}"]
        return parameters


def minutes(time: str | int) -> int:
    """A time as sbatch reads it: minutes, or 30:00, 8:00:00, 2-12, 2-12:30, 2-12:30:00. Raises InputError.

    >>> minutes("8:30:00"), minutes("2-12"), minutes(45)
    (510, 3600, 45)
    """
    found = _TIME.fullmatch(str(time))
    if found is None:
        raise InputError(
            f"slurm: time: {time!r} is no time\nWrite minutes, or hours as '8:00:00', or days as '2-12:00:00'"
        )
    parts = [int(each) for each in found["parts"].split(":")]
    if found["days"] is not None:
        hours, minute, second = [*parts, 0, 0][:3]
        hours += 24 * int(found["days"])
    elif len(parts) == 3:
        hours, minute, second = parts
    else:
        hours, minute, second = 0, parts[0], parts[1] if len(parts) == 2 else 0
    return max(1, 60 * hours + minute + (second > 0))


def queued_states() -> dict[str, str] | None:
    """The state of each of this user's jobs that Slurm still knows, by id; None where it is silent."""
    said = _said_by("squeue", "--noheader", "--array", "--states=all", "--me", "--format=%i|%T")
    if said is None:
        return None
    return dict(line.strip().split("|", 1) for line in said.splitlines() if "|" in line)


@contextmanager
def _of_no_job() -> Iterator[None]:
    """Hide the job that the command may be of: its tasks and memory would be taken for those of new jobs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in OF_THE_CLUSTER or name.startswith("SBATCH_")
    }
    with clean_env(), environment_variables(**kept):
        yield


def _said_by(*command: str) -> str | None:
    """What a command of Slurm prints, None where it fails or Slurm does not answer."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command, capture_output=True, text=True, check=False, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else done.stdout


def _sbatch_words(error: Exception) -> str:
    """What sbatch says of itself in an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("sbatch:")), lines[-1] if lines else "no word")
