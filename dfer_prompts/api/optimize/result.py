"""What an optimisation returns: the final set with its gains, those of the controls, and all rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...description_set import DescriptionSet
from ...optimization.edits import State, changes
from ...optimization.log import OptimizationLog
from .rounds import Search

if TYPE_CHECKING:
    from dfer_model.comparison.statistics import Difference, Interval


@dataclass(frozen=True)
class SetFigures:
    """The UAR of a set in percent, and its gain on the first set in points; both with intervals."""

    uar: Interval
    gain: Difference

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"uar": asdict(self.uar), "gain": difference_dict(self.gain)}


@dataclass(frozen=True)
class FinalSet:
    """A final set with its figures on the confirming clips, and on the test fold if one is given."""

    state: State
    choosing_uar: float  # percent, on the choosing clips; optimistically biased
    confirmed: SetFigures
    tested: SetFigures | None
    uar_by_round: Sequence[float] = ()  # of a control with rounds, on the choosing clips

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "uar_on_the_clips_that_chose": self.choosing_uar,
            "confirmed": self.confirmed.as_dict(),
            "tested": None if self.tested is None else self.tested.as_dict(),
            **({"uar_by_round": list(self.uar_by_round)} if self.uar_by_round else {}),
        }


@dataclass(frozen=True)
class Optimized:
    """The result of an optimisation; `descriptions` and `folder` are None if no change was accepted.

    `of` is the name of the first set, `log` the file with all rounds. `clips` are the numbers of choosing,
    confirming and test clips. `beside_controls` are the differences of the optimised set and each control, on
    the test fold if one is given, else on the confirming clips. `tokens` are those of prompts and answers.
    """

    descriptions: DescriptionSet | None
    folder: Path | None
    of: str
    log: Path
    dataset: str
    folds: tuple[int, ...]
    confirming_folds: tuple[int, ...]
    test_fold: int | None
    clips: tuple[int, int, int]
    result: FinalSet
    controls: dict[str, FinalSet]
    beside_controls: dict[str, Difference]
    search: Search
    requests: int
    found: int
    tokens: tuple[int | None, int | None]

    @property
    def changes(self) -> list[str]:
        """The differences of the final set and the first one."""
        return changes(self.search.start, self.result.state)

    @property
    def stopped(self) -> str | None:
        """Why the rounds ended early; None if they did not."""
        return self.search.rounds[-1].proposed.stopped

    @property
    def answers(self) -> tuple[int, int]:
        """The number of answers, and how many of them had no edit."""
        proposed = [each.proposed for each in self.search.rounds]
        return sum(len(each.proposals) for each in proposed), sum(each.without_edits for each in proposed)

    def plot(self, path: Path | str) -> None:
        """Draw the score over rounds and the gains, as .png or .svg. Raises InputError for another suffix."""
        from .plot import draw_optimization

        draw_optimization(Path(path), OptimizationLog.open(self.log))

    def as_dict(self) -> dict[str, Any]:
        """What `optimize --json` prints."""
        rounds = self.search.rounds
        return {
            "version": self.descriptions.name if self.descriptions else None,
            "folder": str(self.folder) if self.folder else None,
            "log": str(self.log),
            "of": self.of,
            "dataset": self.dataset,
            "folds": list(self.folds),
            "confirming_folds": list(self.confirming_folds),
            "test_fold": self.test_fold,
            "clips": dict(zip(("chose", "confirm", "test"), self.clips, strict=True)),
            "uar_of_the_first": self.search.first.uar,
            "changes": self.changes,
            "rounds": len(rounds),
            "accepted": sum(each.accepted for each in rounds),
            "edits": sum(each.proposed.edits for each in rounds),
            "refused": sum(each.proposed.refused for each in rounds),
            "answers_without_edits": self.answers[1],
            **self.result.as_dict(),
            "controls": {name: each.as_dict() for name, each in self.controls.items()},
            "beside_controls": {name: difference_dict(each) for name, each in self.beside_controls.items()},
            "asked": self.requests,
            "found": self.found,
            "tokens": {"prompt": self.tokens[0], "completion": self.tokens[1]},
            "stopped": self.stopped,
        }


def difference_dict(of: Difference) -> dict[str, float]:
    """A difference for JSON: points, interval and p-value."""
    return {"value": of.value, "low": of.low, "high": of.high, "p": of.p}
