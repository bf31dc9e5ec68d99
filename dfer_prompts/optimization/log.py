"""The stored log of an optimisation: `optimizations/VERSION.jsonl`, one line for settings, rounds, result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ..errors import InputError
from ..workspace import Workspace

FOLDER, SUFFIX = "optimizations", ".jsonl"  # of the logs, in the workspace
AGAIN = "Repeat its optimize command: the answers are stored"


class LoggedEdit(BaseModel):
    """An edit of a round, with the UAR of the set with this edit alone; None if it changes nothing."""

    answer: int
    class_name: str = Field(alias="class")
    action: str
    old: str | None = None
    new: str | None = None
    uar: float | None = None


class LoggedRefusal(BaseModel):
    """An edit that was skipped, as the model wrote it, and why."""

    answer: int
    edit: str
    reason: str


class Score(BaseModel):
    """A score on the choosing clips: UAR in percent, and the objective."""

    uar: float
    objective: float


class LoggedRound(BaseModel):
    """A round; `uar` is that of the current set after it, in percent on the choosing clips."""

    round: int
    edits: list[LoggedEdit]
    refused: list[LoggedRefusal]
    candidates: int
    best: Score
    changes: list[str]
    chance_of_no_gain: float | None
    accepted: bool
    why: str
    uar: float


class Figure(BaseModel):
    """A value with its interval."""

    value: float
    low: float
    high: float

    @property
    def signed(self) -> str:
        """A gain: "+3.20"."""
        return f"{self.value:+.2f}"

    @property
    def interval(self) -> str:
        """The interval of a gain: "-1.02 to +4.10"."""
        return f"{self.low:+.2f} to {self.high:+.2f}"


class Gain(BaseModel):
    """The UAR of a set in percent, and its gain on the first set in points."""

    uar: Figure
    gain: Figure


class LoggedSet(BaseModel):
    """A final set: its figures, and the UAR after each round if it has rounds that the log does not list."""

    uar_on_the_clips_that_chose: float
    confirmed: Gain
    tested: Gain | None
    uar_by_round: list[float] = []


class LoggedResult(LoggedSet):
    """The last line of a log: what `optimize --json` prints."""

    version: str | None
    of: str | None = None  # None in a log of an earlier version
    dataset: str
    folds: list[int]
    confirming_folds: list[int]
    test_fold: int | None
    clips: dict[str, int]
    uar_of_the_first: float
    changes: list[str]
    controls: dict[str, LoggedSet]
    beside_controls: dict[str, Figure]
    answers_without_edits: int
    asked: int
    found: int
    stopped: str | None


class LoggedSettings(BaseModel):
    """The first line of a log."""

    model: str
    base_url: str
    sampling: dict[str, Any]


@dataclass(frozen=True)
class OptimizationLog:
    """A stored optimisation; its name is that of the version, or no-change-ID without one."""

    path: Path
    settings: LoggedSettings
    rounds: Sequence[LoggedRound]
    result: LoggedResult

    @classmethod
    def open(cls, path: Path) -> OptimizationLog:
        """The log at `path`. Raises InputError if it is damaged or incomplete."""
        try:
            first, *rounds, last = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            return cls(
                path,
                LoggedSettings.model_validate(first),
                [LoggedRound.model_validate(each) for each in rounds],
                LoggedResult.model_validate(last),
            )
        except (ValidationError, ValueError) as error:
            where = f": {_first_problem(error)}" if isinstance(error, ValidationError) else ""
            raise InputError(f"{path} is not a whole log of an optimisation{where}\n{AGAIN}") from error

    @property
    def name(self) -> str:
        """The name of its version, or no-change-ID."""
        return self.path.stem

    @property
    def confirmed(self) -> str:
        """Whether the gain is confirmed, as a sentence."""
        gain = self.result.confirmed.gain
        if not self.result.changes:
            return "No change was accepted."
        if gain.low <= 0:
            return f"No gain is confirmed: {gain.signed} points of UAR ({gain.interval})."
        return f"Confirmed gain: {gain.signed} points of UAR ({gain.interval})."


def logs(workspace: Workspace) -> list[Path]:
    """The files of the workspace's optimisations, the newest first."""
    found = (workspace.root / FOLDER).glob(f"*{SUFFIX}")
    return sorted(found, key=lambda each: (each.stat().st_mtime_ns, each.name), reverse=True)


def _first_problem(error: ValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
