"""The Slurm engine: the runs of a grid as one job array, each resumed from its last checkpoint."""

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
MINUTES = 60  # default time limit
ANSWER_S = 60.0  # timeout of Slurm commands
# The Slurm variables that identify the cluster; the others belong to a job.
OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
# States of squeue of jobs that have not ended.
AT_WORK = {
    "COMPLETING", "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING",
    "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
}  # fmt: skip
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


@dataclass
class SlurmEngine:
    """A job array with at most `jobs` runs at a time (None: as many as the cluster allows).

    `options` are those of sbatch, by their long names (`partition`, `gres`, `cpus-per-task`), `setup` shell
    lines before the training, `runs_per_gpu` the tasks of a job, which share its resources. The queue is
    queried every `ask_s` seconds at most. Raises InputError if Slurm is not installed, and for an invalid
    `time`.
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
    _polled_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        minutes(self.options.get("time", MINUTES))
        missing = [each for each in ("sbatch", "srun", "squeue", "scancel") if shutil.which(each) is None]
        if missing:
            raise InputError(
                f"Slurm is not installed here: {missing[0]} is not found\n"
                "Run the command on a login node of the cluster, or use --engine local"
            )

    @property
    def runs_per_job(self) -> int:
        """The number of runs that share a GPU."""
        return min(self.runs_per_gpu, self.jobs or self.runs_per_gpu)

    def room(self, at_work: int) -> int:
        """The default maximum size of an array, which itself limits the jobs at a time to `jobs`.

        An array does not consider other arrays: beside one there is room only for what it leaves of `jobs`.
        """
        most = self._at_a_time() if at_work else MOST
        return max(0, most - at_work)

    def submit(self, works: Sequence[Work], folder: Path) -> Iterator[Job[Any]]:
        """Submit them as one array. Raises WorkError with the message of sbatch."""
        self._polled_at = time.monotonic()
        executor = SlurmExecutor(folder, max_num_timeout=self.retries)
        executor.update_parameters(**self._parameters())
        threads = int(self.options["cpus-per-task"]) if "cpus-per-task" in self.options else None
        shared = self.runs_per_job > 1
        try:
            # submitit also prints what it raises.
            with redirect_stderr(io.StringIO()), _outside_any_job(), executor.batch():
                jobs = [executor.submit(replace(work, threads=threads, shared=shared)) for work in works]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            for left in [*folder.glob(f"{'?' * 32}.pkl"), *folder.glob(".submission_file_*.sh")]:
                left.unlink(missing_ok=True)
            raise WorkError(
                f"Slurm refused the job: {_sbatch_message(error)}\n"
                "See `slurm:` in dfer.yaml (docs/clusters.md)"
            ) from error
        yield from jobs

    def over(self, jobs: Sequence[Job[Any]]) -> Mapping[str, str]:
        """The jobs that left the queue, or have an end state; none if it was queried just now."""
        if not jobs or time.monotonic() - self._polled_at < self.ask_s:
            return {}
        self._polled_at = time.monotonic()
        states = queued_states()
        if states is None:
            return {}
        return {
            job.job_id: states.get(job.job_id, "")
            for job in jobs
            if states.get(job.job_id, "") not in AT_WORK
        }

    def cancel(self, jobs: Sequence[Job[Any]]) -> None:
        """Cancel them with scancel."""
        if jobs:
            with unbroken():
                _output_of("scancel", *(job.job_id for job in jobs))

    def _at_a_time(self) -> int:
        """The maximum number of jobs at work at a time."""
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
            # srun does not inherit it from sbatch.
            parameters["srun_args"] = [f"--cpus-per-task={others['cpus-per-task']}"]
        return parameters


def minutes(time: str | int) -> int:
    """Minutes of a time in sbatch's format: minutes, 30:00, 8:00:00, 2-12, 2-12:30, 2-12:30:00.

    Raises InputError for another format.

    >>> minutes("8:30:00"), minutes("2-12"), minutes(45)
    (510, 3600, 45)
    """
    found = _TIME.fullmatch(str(time))
    if found is None:
        raise InputError(
            f"slurm: time: {time!r} is not a valid time\n"
            "Write minutes, or hours as '8:00:00', or days as '2-12:00:00'"
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
    """The state of each of this user's jobs, by id; None if Slurm does not respond."""
    output = _output_of("squeue", "--noheader", "--array", "--states=all", "--me", "--format=%i|%T")
    if output is None:
        return None
    return dict(line.strip().split("|", 1) for line in output.splitlines() if "|" in line)


@contextmanager
def _outside_any_job() -> Iterator[None]:
    """Hide a Slurm job that the command runs in; new jobs would inherit its tasks and memory."""
    settings = {
        name: value
        for name, value in os.environ.items()
        if name in OF_THE_CLUSTER or name.startswith("SBATCH_")
    }
    with clean_env(), environment_variables(**settings):
        yield


def _output_of(*command: str) -> str | None:
    """The output of a Slurm command, None if it fails or does not respond."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command, capture_output=True, text=True, check=False, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else done.stdout


def _sbatch_message(error: Exception) -> str:
    """The message of sbatch in an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("sbatch:")), lines[-1] if lines else "no message")
