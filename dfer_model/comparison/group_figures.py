"""UAR, WAR and recalls of groups of clips, and the group with the lowest UAR. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfer_model.data.layouts import natural_key

from .results import Answers, Figure, figure

LEAST_CLASSES = 2  # of a group that counts for the worst group: with one class, UAR is only that recall


@dataclass(frozen=True)
class GroupFigures:
    """The figures of one group in percent, over its clips of all folds together.

    UAR is the mean recall of the `classes` that occur in the group. An interval covers the sampling variance
    of the clips and, with several seeds, the seed variance. It is left out where the clips show no variance.
    """

    group: str
    clips: int
    classes: int
    uar: Figure
    war: Figure
    recalls: dict[str, Figure]  # by class that occurs in the group, without intervals


@dataclass(frozen=True)
class Grouped:
    """The figures of every group of an attribute, and of all clips together."""

    by: str  # the attribute: "scene"
    groups: tuple[GroupFigures, ...]
    all_clips: GroupFigures

    @property
    def eligible(self) -> tuple[GroupFigures, ...]:
        """The groups that count for the worst group: those with at least two classes."""
        return tuple(each for each in self.groups if each.classes >= LEAST_CLASSES)

    @property
    def worst(self) -> GroupFigures | None:
        """The eligible group with the lowest UAR, the first of equal ones; None without one."""
        return min(self.eligible, key=lambda each: each.uar.mean, default=None)

    def as_dict(self) -> dict[str, Any]:
        """The content for JSON."""
        worst = self.worst
        return {
            "by": self.by,
            "worst_group": worst and worst.group,
            "worst_group_uar": worst and worst.uar.mean,
            "groups": [asdict(each) for each in self.groups],
        }


def group_figures(
    by: str,
    groups: Sequence[str],
    labels: NDArray[np.int64],
    correct: NDArray[Any],
    class_names: Sequence[str],
) -> Grouped:
    """The figures of each group in natural order of the names.

    `groups` and `labels` are those of the clips; `correct` (seeds, clips) are the correct predictions, or the
    share of correct ones if a seed has several.
    """
    of = np.array(groups, dtype=object)
    found = []
    for name in sorted({*groups}, key=natural_key):
        mine = of == name
        found.append(_figures(name, labels[mine], correct[:, mine], class_names))
    return Grouped(by, tuple(found), _figures("all clips", labels, correct, class_names))


def _figures(
    name: str, labels: NDArray[np.int64], correct: NDArray[Any], class_names: Sequence[str]
) -> GroupFigures:
    answers = Answers(labels, np.zeros_like(labels), {name: correct})  # one fold: all clips together
    present = np.unique(labels).tolist()
    return GroupFigures(
        name,
        len(labels),
        len(present),
        _with_interval(answers.figure(name, answers.uar)),
        _with_interval(answers.figure(name, answers.war)),
        {class_names[each]: figure(100 * correct[:, labels == each].mean(axis=1)) for each in present},
    )


def _with_interval(of: Figure) -> Figure:
    """The figure without its interval if that has no width: no resample of the clips differs."""
    return replace(of, low=None, high=None) if of.low == of.high else of
