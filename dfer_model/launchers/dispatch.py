"""Handing the runs of a grid to an engine until each is trained, has failed, or was lost too often."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from submitit.core.core import Job

from dfer_model.training.run_lock import taken
from dfer_model.training.run_writer import recorded_epochs

from ..errors import WorkError
from ..runs import RunSpec
from .job import Attempts, Outcome, Work
from .launcher import Engine, Task, unbroken

Report = Callable[[float, int, str], None]
Note = Callable[[str], None]
LISTED = 10  # failed runs
OUT_OF_MEMORY = "OUT_OF_MEMORY"  # Slurm's word for a job that its limit of memory ended
PARTS_S = 10.0  # seconds between two looks at the epochs of the runs at work


def train_by(
    engine: Engine,
    specs: Sequence[RunSpec],
    names: Sequence[str],
    runs: Path,
    report: Report,
    note: Note,
    trackers: Sequence[str] = (),
) -> None:
    """Have every run of `specs` trained that is not yet; `names` are what a person calls them.

    A run whose job something ended (a crash, a kill, a cluster that takes the machine back) goes on from its
    last whole epoch, at most `engine.retries` times; one that is wrong in itself is not begun again. `note`
    is told of both, and the others go on. In the jobs `trackers` follow their runs. A run at work elsewhere
    is waited for. The jobs' logs are in a new folder of `engine.folder` until all runs are trained. Raises
    WorkError that names those that were not.
    """
    folder = (engine.folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}").resolve()
    folder.mkdir(parents=True)
    wanted: dict[str, Trial] = {}
    for number, (spec, name) in enumerate(zip(specs, names, strict=True)):
        attempts = Attempts(folder / "attempts" / f"{number}.jsonl")
        wanted.setdefault(spec.definition, Trial(spec, name, attempts, spec.folder(runs)))
    dispatching = Dispatching(engine, list(wanted.values()), runs.resolve(), folder, note, trackers)
    dispatching.run(report)
    if dispatching.failed:
        failed = [
            (each.name, dispatching.failed[key]) for key, each in wanted.items() if key in dispatching.failed
        ]
        raise WorkError(_failed(failed, len(wanted), folder))
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Trial:
    """A run that is to be trained, and how that went so far."""

    spec: RunSpec
    name: str
    attempts: Attempts
    folder: Path  # of the run, where it was when it was last looked for
    lost: int = 0
    told: int = 0  # attempts that were told of

    def is_trained(self, runs: Path) -> bool:
        """Whether the run is finished, here or by another process."""
        self.folder = self.spec.folder(runs)
        return (self.folder / "result.json").is_file()

    def used(self) -> int:
        """How many attempts are behind it; of those that never came to training, too."""
        return max(self.lost, len(self.attempts.begun()))

    def epoch(self) -> int:
        """The last whole epoch."""
        rows = recorded_epochs(self.folder)
        return int(rows[-1]["epoch"]) if rows else 0


class Dispatching:
    """Runs that wait, are at work, are at work elsewhere, or failed; the others are trained."""

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
        self.failed: dict[str, str] = {}  # why, by definition
        self.refusal = ""  # of the last submission
        self.not_before = 0.0  # when more is submitted
        self._parts, self._looked = 0.0, -PARTS_S

    def run(self, report: Report) -> None:
        """Hand out and collect until nothing is left; what is at work ends with this call, in any case."""
        try:
            while self.waiting or self.at_work or self.elsewhere:
                self.hand_out()
                report(*self.state())
                time.sleep(self.engine.poll_s)
                self.tell_of_new_attempts()
                self.collect()
                self.look_elsewhere()
        finally:
            self.engine.cancel(self.jobs())

    def jobs(self) -> list[Job]:
        """The jobs at work."""
        return list({task.job.job_id: task.job for task in self.at_work}.values())

    def parts(self) -> float:
        """How many runs the epochs of those at work make up together, as last looked at."""
        if time.monotonic() - self._looked >= PARTS_S:
            self._looked = time.monotonic()
            epochs = [(trial.epoch(), trial.spec.settings.epochs) for trial in self.at_work.values()]
            self._parts = sum(done / (whole + 1) for done, whole in epochs)
        return self._parts

    def state(self) -> tuple[float, int, str]:
        """Runs that are settled, with the part that is done of those at work; runs in all; where they are."""
        left = len(self.waiting) + len(self.at_work) + len(self.elsewhere)
        parts = {
            "at work": len(self.at_work),
            "at work elsewhere": len(self.elsewhere),
            "waiting": len(self.waiting),
        }
        done = min(self.total - left + self.parts(), self.total - bool(left))
        return done, self.total, ", ".join(f"{n} {what}" for what, n in parts.items() if n)

    def hand_out(self) -> None:
        """Submit of what waits as much as there is room for; what is refused is submitted again later.

        Raises WorkError where it is refused and nothing is at work, which could make room.
        """
        if time.monotonic() < self.not_before:
            return
        groups = self.ready()
        if not groups:
            return
        try:
            # Whatever interrupts the command, what was begun is known, and can be ended.
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
        """Of what waits as many jobs' runs as there is room for; what is at work elsewhere is left there."""
        together = self.engine.runs_per_job
        room = together * self.engine.room(len(self.jobs()))
        ready: list[Trial] = []
        while self.waiting and len(ready) < room:
            trial = self.waiting.popleft()
            (self.elsewhere if taken(trial.folder) else ready).append(trial)
        return deque(ready[first : first + together] for first in range(0, len(ready), together))

    def put_back(self, groups: Sequence[list[Trial]], refusal: str) -> None:
        """Let refused runs wait for a while; why is told once, however often it is said."""
        self.waiting.extendleft(trial for group in reversed(groups) for trial in reversed(group))
        self.not_before = time.monotonic() + self.engine.pause_s
        if refusal != self.refusal:
            self.note(f"{refusal}; what is refused is submitted again, for as long as other runs are at work")
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
        """Settle what has answered, and what is at work no more and did not."""
        over = self.engine.over(self.jobs())
        written = {entry.name for entry in os.scandir(self.folder)}
        for task, trial in list(self.at_work.items()):
            outcome = task.outcome(written)
            if outcome is None and task.job.job_id in over:
                outcome = _ended(over[task.job.job_id] or task.last_words() or "its process died")
            if outcome is not None:
                del self.at_work[task]
                self.settle(trial, outcome)

    def settle(self, trial: Trial, outcome: Outcome) -> None:
        """Put a run where its job's end leaves it."""
        if trial.is_trained(self.runs):
            return
        if outcome.status == "elsewhere":
            self.elsewhere.append(trial)
        elif outcome.status == "failed":
            self.fail(trial, outcome.said)
        else:
            self.lose(trial, outcome.said)

    def lose(self, trial: Trial, why: str) -> None:
        """Let a run go on that something ended, unless that happened too often."""
        trial.lost += 1
        used = trial.told = trial.used()
        if used > self.engine.retries:
            self.fail(trial, f"{why} (attempt {used}, the last)")
            return
        self.note(f"{trial.name}: {why}; {self.again(trial, used + 1)}")
        self.waiting.append(trial)

    def fail(self, trial: Trial, why: str) -> None:
        """Give a run up."""
        self.failed[trial.spec.definition] = why
        self.note(f"{trial.name} failed: {why}")

    def tell_of_new_attempts(self) -> None:
        """Tell of runs that the cluster itself has begun again."""
        for trial in self.at_work.values():
            begun = trial.attempts.begun()
            if len(begun) > max(trial.told, trial.lost) + 1:
                trial.told = len(begun) - 1
                again = self.again(trial, len(begun))
                self.note(f"{trial.name}: taken away, begun again on {begun[-1]['host']}; {again}")

    def again(self, trial: Trial, attempt: int) -> str:
        """What the next attempt of a run begins with."""
        epoch = trial.epoch()
        where = f"goes on after epoch {epoch}" if epoch else "begins anew"
        return f"attempt {attempt} of {self.engine.retries + 1} {where}"

    def look_elsewhere(self) -> None:
        """Take back what another process trained no more and did not finish."""
        for trial in list(self.elsewhere):
            if trial.is_trained(self.runs):
                self.elsewhere.remove(trial)
            elif not taken(trial.folder):
                self.elsewhere.remove(trial)
                self.waiting.append(trial)


def _ended(why: str) -> Outcome:
    """A job that left no answer: lost, or where the cluster says that its memory ran out, failed."""
    if why == OUT_OF_MEMORY:
        return Outcome(
            "failed", f"{why}: give its jobs more memory (`slurm:` in dfer.yaml), or fewer workers"
        )
    return Outcome("lost", why)


def _failed(failed: Sequence[tuple[str, str]], total: int, folder: Path) -> str:
    """The runs that were not trained, why, and what to do, in two lines."""
    listed = [f"{name} ({why.splitlines()[0]})" for name, why in failed]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return (
        f"{len(failed)} of {total} runs were not trained: {'; '.join(listed[:LISTED])}{more}\n"
        f"The others are kept, their logs are in {folder}; the same command trains only what is missing"
    )
