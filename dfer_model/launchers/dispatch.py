"""Dispatching the runs of a grid to an engine until each is trained, has failed, or was lost too often."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from submitit.core.core import Job

from dfer_model.progress import Note, Report
from dfer_model.training.run_lock import taken
from dfer_model.training.run_writer import recorded_epochs

from ..errors import WorkError
from ..runs import RunSpec
from .job import Attempts, Outcome, Work
from .launcher import Engine, Task, unbroken

LISTED = 10  # failed runs
OUT_OF_MEMORY = "OUT_OF_MEMORY"  # Slurm's state of a job that exceeded its memory limit
PARTS_S = 10.0  # seconds between readings of the epochs of active runs


def train_by(
    engine: Engine,
    specs: Sequence[RunSpec],
    names: Sequence[str],
    runs: Path,
    report: Report,
    note: Note,
    trackers: Sequence[str] = (),
) -> None:
    """Train every run of `specs` that is not finished; `names` are their displayed names.

    A run whose job was lost (a crash, a kill, a preemption) is resumed from its last checkpoint, at most
    `engine.retries` times; a run that failed by an error of its own is not retried. `note` reports both, and
    the other runs continue. In the jobs `trackers` log their runs. Runs of other processes are waited for.
    The jobs' logs are in a new folder of `engine.folder` until all runs are trained. Raises WorkError that
    names the runs that were not trained.
    """
    folder = (engine.folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}").resolve()
    folder.mkdir(parents=True)
    pending: dict[str, Trial] = {}
    for number, (spec, name) in enumerate(zip(specs, names, strict=True)):
        attempts = Attempts(folder / "attempts" / f"{number}.jsonl")
        pending.setdefault(spec.definition, Trial(spec, name, attempts, spec.folder(runs)))
    dispatching = Dispatching(engine, list(pending.values()), runs.resolve(), folder, note, trackers)
    dispatching.run(report)
    if dispatching.failed:
        failed = [
            (each.name, dispatching.failed[key]) for key, each in pending.items() if key in dispatching.failed
        ]
        raise WorkError(_failed(failed, len(pending), folder))
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Trial:
    """A run to train, and its state."""

    spec: RunSpec
    name: str
    attempts: Attempts
    folder: Path  # of the run, as last checked
    lost: int = 0
    reported: int = 0  # attempts that were reported

    def is_trained(self, runs: Path) -> bool:
        """Whether the run is finished, here or by another process."""
        self.folder = self.spec.folder(runs)
        return (self.folder / "result.json").is_file()

    def used(self) -> int:
        """The number of attempts so far, with those that ended before training."""
        return max(self.lost, len(self.attempts.begun()))

    def epoch(self) -> int:
        """The last complete epoch."""
        rows = recorded_epochs(self.folder)
        return int(rows[-1]["epoch"]) if rows else 0


class Dispatching:
    """The runs that wait, are at work here or elsewhere, or failed; the others are trained."""

    def __init__(
        self,
        engine: Engine,
        trials: Sequence[Trial],
        runs: Path,
        folder: Path,
        note: Note,
        trackers: Sequence[str] = (),
    ) -> None:
        self.engine, self.runs, self.folder, self.note = engine, runs, folder, note
        self.trackers = tuple(trackers)
        self.total = len(trials)
        self.waiting = deque(each for each in trials if not each.is_trained(runs))
        self.at_work: dict[Task, Trial] = {}
        self.elsewhere: list[Trial] = []
        self.failed: dict[str, str] = {}  # the reason, by definition
        self.refusal = ""  # reason of the last refused submission
        self.not_before = 0.0  # no submission before this time
        self._parts, self._looked = 0.0, -PARTS_S

    def run(self, report: Report) -> None:
        """Submit and collect until nothing is left; active jobs are cancelled when this call ends."""
        try:
            while self.waiting or self.at_work or self.elsewhere:
                self.hand_out()
                report(*self.state())
                time.sleep(self.engine.poll_s)
                self.report_new_attempts()
                self.collect()
                self.look_elsewhere()
        finally:
            self.engine.cancel(self.jobs())

    def jobs(self) -> list[Job]:
        """The jobs at work."""
        return list({task.job.job_id: task.job for task in self.at_work}.values())

    def parts(self) -> float:
        """The progress of active runs, as a number of runs, from their last read epochs."""
        if time.monotonic() - self._looked >= PARTS_S:
            self._looked = time.monotonic()
            epochs = [(trial.epoch(), trial.spec.settings.epochs) for trial in self.at_work.values()]
            self._parts = sum(done / (epochs_of_run + 1) for done, epochs_of_run in epochs)
        return self._parts

    def state(self) -> tuple[float, int, str]:
        """(runs done, with the progress of active ones; all runs; a note with the counts by state)."""
        left = len(self.waiting) + len(self.at_work) + len(self.elsewhere)
        parts = {
            "at work": len(self.at_work),
            "at work elsewhere": len(self.elsewhere),
            "waiting": len(self.waiting),
        }
        done = min(self.total - left + self.parts(), self.total - bool(left))
        return done, self.total, ", ".join(f"{n} {what}" for what, n in parts.items() if n)

    def hand_out(self) -> None:
        """Submit as many waiting runs as there is room for; refused ones are submitted again later.

        Raises WorkError if a submission is refused and no run is active that could make room.
        """
        if time.monotonic() < self.not_before:
            return
        groups = self.ready()
        if not groups:
            return
        try:
            # If the command is interrupted, jobs that were started are known and can be cancelled.
            with unbroken():
                for job in self.engine.submit([self.work(group) for group in groups], self.folder):
                    self.at_work |= {
                        Task(job, number): trial for number, trial in enumerate(groups.popleft())
                    }
            self.refusal = ""
        except WorkError as error:
            if not self.at_work:
                raise
            self.put_back(groups, str(error).splitlines()[0])

    def ready(self) -> deque[list[Trial]]:
        """The waiting runs for the free jobs, grouped by job; runs of other processes are set apart."""
        together = self.engine.runs_per_job
        room = together * self.engine.room(len(self.jobs()))
        ready: list[Trial] = []
        while self.waiting and len(ready) < room:
            trial = self.waiting.popleft()
            (self.elsewhere if taken(trial.folder) else ready).append(trial)
        return deque(ready[first : first + together] for first in range(0, len(ready), together))

    def put_back(self, groups: Sequence[list[Trial]], refusal: str) -> None:
        """Put refused runs back to wait; a repeated reason is reported once."""
        self.waiting.extendleft(trial for group in reversed(groups) for trial in reversed(group))
        self.not_before = time.monotonic() + self.engine.pause_s
        if refusal != self.refusal:
            self.note(f"{refusal}; refused runs are submitted again while other runs are at work")
        self.refusal = refusal

    def work(self, trials: Sequence[Trial]) -> Work:
        """The job that trains these."""
        return Work(
            tuple(each.spec for each in trials),
            tuple(each.attempts for each in trials),
            self.runs,
            self.engine.device,
            self.engine.retries,
            trackers=self.trackers,
        )

    def collect(self) -> None:
        """Settle the runs that left a result, and those whose job ended without one."""
        over = self.engine.over(self.jobs())
        written = {entry.name for entry in os.scandir(self.folder)}
        for task, trial in list(self.at_work.items()):
            outcome = task.outcome(written)
            if outcome is None and task.job.job_id in over:
                outcome = _ended(over[task.job.job_id] or task.last_error_line() or "its process died")
            if outcome is not None:
                del self.at_work[task]
                self.settle(trial, outcome)

    def settle(self, trial: Trial, outcome: Outcome) -> None:
        """Update the state of a run by the outcome of its job."""
        if trial.is_trained(self.runs):
            return
        if outcome.status == "elsewhere":
            self.elsewhere.append(trial)
        elif outcome.status == "failed":
            self.fail(trial, outcome.message)
        else:
            self.lose(trial, outcome.message)

    def lose(self, trial: Trial, why: str) -> None:
        """Retry a run that was lost, unless that happened too often."""
        trial.lost += 1
        used = trial.reported = trial.used()
        if used > self.engine.retries:
            self.fail(trial, f"{why} (attempt {used}, the last)")
            return
        self.note(f"{trial.name}: {why}; {self.again(trial, used + 1)}")
        self.waiting.append(trial)

    def fail(self, trial: Trial, why: str) -> None:
        """Mark a run as failed."""
        self.failed[trial.spec.definition] = why
        self.note(f"{trial.name} failed: {why}")

    def report_new_attempts(self) -> None:
        """Report runs that the cluster itself has restarted."""
        for trial in self.at_work.values():
            begun = trial.attempts.begun()
            if len(begun) > max(trial.reported, trial.lost) + 1:
                trial.reported = len(begun) - 1
                again = self.again(trial, len(begun))
                self.note(f"{trial.name}: preempted, restarted on {begun[-1]['host']}; {again}")

    def again(self, trial: Trial, attempt: int) -> str:
        """A phrase: where the next attempt of a run starts."""
        epoch = trial.epoch()
        where = f"resumes after epoch {epoch}" if epoch else "starts from the beginning"
        return f"attempt {attempt} of {self.engine.retries + 1} {where}"

    def look_elsewhere(self) -> None:
        """Queue runs that another process stopped training without finishing."""
        for trial in list(self.elsewhere):
            if trial.is_trained(self.runs):
                self.elsewhere.remove(trial)
            elif not taken(trial.folder):
                self.elsewhere.remove(trial)
                self.waiting.append(trial)


def _ended(why: str) -> Outcome:
    """The outcome of a job without a result: failed if it ran out of memory, else lost."""
    if why == OUT_OF_MEMORY:
        return Outcome(
            "failed", f"{why}: give its jobs more memory (`slurm:` in dfer.yaml), or fewer workers"
        )
    return Outcome("lost", why)


def _failed(failed: Sequence[tuple[str, str]], total: int, folder: Path) -> str:
    """The error message, in two lines: the runs that were not trained and why, and what to do."""
    listed = [f"{name} ({why.splitlines()[0]})" for name, why in failed]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return (
        f"{len(failed)} of {total} runs were not trained: {'; '.join(listed[:LISTED])}{more}\n"
        f"Finished runs are stored; logs are in {folder}. Run the same command again to train "
        "the missing runs"
    )
