"""Results by an attribute of the clips: UAR and WAR of each group, and the worst-group UAR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .render import LONGEST, Block, Cell, Content, Folded, Section, Table, for_paper, paragraph
from .stored_predictions import BY_RUNS, Hits, hits_of_models, hits_of_run, hits_of_sets

if TYPE_CHECKING:
    from dfer_model.comparison.group_figures import Grouped, GroupFigures
    from dfer_model.comparison.results import Figure
    from dfer_model.evaluation.groups import Groups
    from dfer_model.runs import Run

    from .stored import Stored

NOTE = (
    "The UAR of a group is the mean recall of the classes that occur in it, over its clips of all test folds "
    "together. The worst group is the one with the lowest UAR among those with at least two classes. The "
    "lowest UAR of many small groups is low by chance: read it with its interval and its number of clips."
)
BEFORE = ("recalls",)  # the section that the results are placed before
WORST, POOLED = "worst group", "pooled"


@dataclass(frozen=True)
class SetGroups:
    """The groups of one set under one measure."""

    measure: str
    name: str
    seeds: int
    grouped: Grouped

    def as_dict(self) -> dict[str, Any]:
        """A set in `report --json`."""
        return {"measure": self.measure, "set": self.name, **self.grouped.as_dict()}


@dataclass(frozen=True)
class ByGroup:
    """The results by group, and a sentence for each measure or run that stores no predictions."""

    attribute: str
    sets: tuple[SetGroups, ...]
    missing: tuple[str, ...] = ()

    @property
    def section(self) -> Section:
        """The tables of every measure; long ones are collapsed."""
        blocks: list[Block] = [paragraph(NOTE)]
        for measure in dict.fromkeys(each.measure for each in self.sets):
            worst, groups = self._tables(measure)
            long = len(groups.rows) > LONGEST
            summary = f"{groups.title}: {len(groups.rows)} rows"
            blocks += [worst, Folded(summary, (groups,)) if long else groups]
        return Section(
            "groups", f"Results by {self.attribute}", (*blocks, *(paragraph(each) for each in self.missing))
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables for a paper."""
        measures = dict.fromkeys(each.measure for each in self.sets)
        return tuple(table for measure in measures for table in self._tables(measure))

    def _tables(self, measure: str) -> tuple[Table, Table]:
        mine = [each for each in self.sets if each.measure == measure]
        spread = ", ± over seeds" if any(each.seeds > 1 for each in mine) else ""
        key = measure.replace(" ", "-")
        worst = Table(
            f"worst-group-{key}",
            f"Worst-group UAR by {self.attribute} in percent, {measure}{spread}, with 95% intervals",
            ("set", "UAR of all clips", "worst-group UAR", "worst group", "its clips"),
            tuple(_worst_row(each) for each in mine),
            words=(0, 3),
        )
        groups = Table(
            f"groups-{key}",
            f"UAR and WAR by {self.attribute} in percent, {measure}{spread}, with 95% intervals",
            ("set", self.attribute, "clips", "classes", "UAR", "WAR"),
            tuple(_group_row(each.name, group) for each in mine for group in each.grouped.groups),
            heads=2,
        )
        return worst, groups

    def rows(self, header: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The rows of the CSV file below `header`: a row per set and group, and one for the worst group."""
        found = []
        for each in self.sets:
            worst = each.grouped.worst
            named = [(POOLED, group) for group in each.grouped.groups] + ([(WORST, worst)] if worst else [])
            for fold, group in named:
                values = {"measure": each.measure, "set": each.name, "fold": fold, "seeds": str(each.seeds)}
                found.append(tuple(({**values, **_csv_values(group)}).get(name, "") for name in header))
        return tuple(found)

    def csv(self, by_fold: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
        """The rows by fold with the additional columns `group` and `clips`, then the rows by group."""
        header = (*by_fold[0], "group", "clips")
        return (header, *((*row, "", "") for row in by_fold[1:]), *self.rows(header))


def with_groups(of: Content, groups: ByGroup | None) -> Content:
    """The report with results by group: a section before the recalls, tables for a paper, CSV rows."""
    if groups is None:
        return of
    return replace(
        of.with_section(groups.section, BEFORE),
        paper=(*of.paper, *for_paper(groups.tables)),
        by_fold=groups.csv(of.by_fold),
        groups=groups,
    )


def _csv_values(of: GroupFigures) -> dict[str, str]:
    figures = {"UAR": of.uar, "WAR": of.war, **{f"recall {name}": it for name, it in of.recalls.items()}}
    found = {name: f"{it.mean:.2f}" for name, it in figures.items()}
    found |= {f"sd {name}": f"{it.std:.2f}" for name, it in figures.items() if it.std is not None}
    return {**found, "group": of.group, "clips": str(of.clips)}


def _worst_row(of: SetGroups) -> tuple[Cell, ...]:
    worst, every = of.grouped.worst, _cell(of.grouped.all_clips.uar)
    if worst is None:
        return Cell(of.name), every, Cell("–"), Cell("none has two classes"), Cell("–")
    return Cell(of.name), every, _cell(worst.uar), Cell(worst.group), Cell(str(worst.clips))


def _group_row(name: str, of: GroupFigures) -> tuple[Cell, ...]:
    counts = Cell(str(of.clips)), Cell(str(of.classes))
    return Cell(name), Cell(of.group), *counts, _cell(of.uar), _cell(of.war)


def _cell(of: Figure) -> Cell:
    return Cell(*figure_words(of))


def figure_words(of: Figure) -> tuple[str, str]:
    """A figure with its standard deviation over seeds, and its interval or an empty text."""
    spread = f" ± {of.std:.2f}" if of.std is not None else ""
    interval = "" if of.low is None or of.high is None else f"{of.low:.2f} to {of.high:.2f}"
    return f"{of.mean:.2f}{spread}", interval


def run_groups(run: Run, groups: Groups, measure: str) -> ByGroup:
    """The results of a run's predictions; a set is an epoch selection. Raises InputError without any."""
    if not run.selections:
        raise InputError(f"the run {run.id} was imported and stores no predictions to group by {groups.name}")
    found = {selection: hits_of_run(run, selection) for selection in run.selections}
    return ByGroup(groups.name, tuple(_set_groups(measure, found, groups, tuple(found))))


def comparison_groups(of: Stored, groups: Groups) -> ByGroup:
    """The results of the sets of a comparison. Raises InputError if no run stores predictions for it."""
    sets: list[SetGroups] = []
    missing: list[str] = []
    order = [each.name for each in of.comparison.rows]
    for measure in of.comparison.measures:
        found = hits_of_sets(of, measure)
        if measure == "trained":
            found |= hits_of_models(of)
        sets += _set_groups(measure, found, groups, order)
        absent = [name for name in order if name not in found]
        if absent:
            missing.append(_absent(measure, absent if found else []))
    if not sets:
        raise InputError(
            f"{of.record.folder} has no stored predictions to group by {groups.name}\n"
            "Zero-shot, screening and transfer store none; for trained sets, repeat its compare command"
        )
    return ByGroup(groups.name, tuple(sets), tuple(missing))


def _absent(measure: str, names: Sequence[str]) -> str:
    """Why a measure, or some of its sets, has no results by group."""
    if measure not in BY_RUNS:
        return f"{measure}: no results by group, because this measure stores no predictions."
    of = f" of {', '.join(names)}" if names else ""
    return (
        f"{measure}: the predictions{of} for these clips are not stored here; repeat the compare command, or "
        "use dfer-prompts evaluate RUN --dataset DIR --groups."
    )


def _set_groups(
    measure: str, found: Mapping[str, Hits], groups: Groups, order: Sequence[str]
) -> list[SetGroups]:
    from dfer_model.comparison.group_figures import group_figures

    return [
        SetGroups(
            measure,
            name,
            len(hits.correct),
            group_figures(groups.name, groups.of(hits.clip_ids), hits.labels, hits.correct, hits.class_names),
        )
        for name in order
        if (hits := found.get(name))
    ]
