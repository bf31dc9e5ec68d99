"""The results of the rows beside the paper: figures over folds and seeds, confusion, tables on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import FiniteFloat

from dfer_model.io import write_atomically

from .paper_tables import Paper, Published, dataset_title
from .plan import Planned, Study

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.metrics import Measures
    from dfer_model.runs import ClassTexts, Run

NOT_IN_PAPER = "not in the paper"
EPOCHS = {  # the selected epoch, by selection
    "last": "the last",
    "val": "the best on validation clips of the training folds",
    "test-best": "the best on the test fold (optimistically biased)",
}


@dataclass(frozen=True)
class Spread:
    """A measure in percent, averaged over folds: mean and standard deviation over seeds."""

    mean: FiniteFloat
    std: FiniteFloat | None  # None for one seed

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")


@dataclass(frozen=True)
class Ours:
    """The measures of a row's runs for one epoch selection (`last`, `val`, `test-best`)."""

    selection: str
    uar: Spread
    war: Spread


@dataclass(frozen=True)
class RowResult:
    """One row of the table: our figures and the published ones.

    `last` are our figures of the last epoch, if another was selected; `difference` is ours minus the
    published mean, in points of (UAR, WAR). `note` says why we have no figures. `in_paper` is False for an
    additional row that the paper does not have.
    """

    table: str
    number: int
    name: str
    note: str
    settings: Settings | None
    texts: ClassTexts | None
    runs: tuple[str, ...]
    ours: Ours | None
    last: Ours | None
    published: Published | None
    difference: tuple[float, float] | None
    confusion: tuple[tuple[int, ...], ...] | None  # clips: true class by row, predicted by column
    in_paper: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        own = {
            "settings": self.settings and self.settings.model_dump(mode="json"),
            "published": self.published and self.published.model_dump(),
        }
        plain = {key: value for key, value in vars(self).items() if key not in own}
        for key in ("texts", "ours", "last"):
            plain[key] = plain[key] and asdict(plain[key])
        return {**plain, **own}


def row_result(planned: Planned, runs: Sequence[Run], published: Published | None) -> RowResult:
    """The result of a row from its runs."""
    measured = merged(runs) if runs else None
    selection = runs[0].selected if runs else "last"
    ours = figures(runs, selection) if runs else None
    difference = (
        (ours.uar.mean - published.uar, ours.war.mean - published.war) if ours and published else None
    )
    return RowResult(
        table=planned.table,
        number=planned.number,
        name=planned.row.name,
        note=planned.note,
        settings=planned.settings,
        texts=planned.texts,
        runs=tuple(run.id for run in runs),
        ours=ours,
        last=figures(runs, "last") if runs and selection != "last" else None,
        published=published,
        difference=difference,
        confusion=tuple(map(tuple, measured.confusion.tolist())) if measured else None,
        in_paper=planned.row.in_paper,
    )


def figures(runs: Sequence[Run], selection: str) -> Ours:
    """UAR and WAR of the runs: each seed's mean over its folds, then mean and deviation over the seeds."""
    import numpy as np

    def spread(measure: str) -> Spread:
        by_seed = [
            np.mean([run.result["measures"][selection][measure] for run in runs if run.seed == seed])
            for seed in dict.fromkeys(run.seed for run in runs)
        ]
        return Spread(float(np.mean(by_seed)), float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None)

    return Ours(selection, spread("uar"), spread("war"))


def merged(runs: Sequence[Run]) -> Measures:
    """The confusion of the stored predictions of all folds and seeds: each clip counts once per seed."""
    import numpy as np

    from dfer_model.metrics import measures

    answers = [run.predictions(run.selected) for run in runs]
    labels = np.concatenate([each.labels for each in answers])
    return measures(
        labels, np.concatenate([each.logits.argmax(axis=1) for each in answers]), runs[0].class_names
    )


@dataclass(frozen=True)
class Reproduced:
    """Reproduced tables of the paper, stored as reproduction.json, tables.md and confusion/ in `folder`.

    `command` are the words of the command that repeats it.
    """

    folder: Path
    dataset: str
    class_names: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    titles: dict[str, str]  # by table
    assumed: dict[str, tuple[str, ...]]  # by table
    rows: tuple[RowResult, ...]
    protocol: str
    caveats: tuple[str, ...]
    command: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stored result, and the output of `reproduce --json`."""
        plain = {key: value for key, value in vars(self).items() if key not in ("folder", "rows")}
        return {"folder": str(self.folder), **plain, "rows": [each.as_dict() for each in self.rows]}

    def of(self, table: str) -> list[RowResult]:
        """The rows of one table."""
        return [each for each in self.rows if each.table == table]


def command_words(
    tables: Sequence[str], rows: Sequence[str], study: Study, files: Mapping[str, Path | str | None]
) -> tuple[str, ...]:
    """The command that repeats a reproduction; `files` are its files by option."""
    from dfer_model.comparison.record import numbers_text

    words = ["dfer-prompts", "reproduce", *tables, "--dataset", str(study.clips.path)]
    for name in rows:
        words += ["--rows", name]
    words += ["--descriptions", study.descriptions.name]
    chosen = study.chosen
    values: dict[str, object] = {
        "--second": study.second.name if study.second else None,
        "--folds": numbers_text(study.folds),
        "--seeds": numbers_text(study.seeds),
        **{f"--{name}": chosen.get(name) for name in ("preset", "clip", "weights", "epochs")},
        **files,
    }
    for option, value in values.items():
        words += [option, str(value)] if value is not None else []
    for each in chosen.get("overrides") or ():
        words += ["--set", each]
    return tuple(words)


def protocol_line(rows: Sequence[RowResult], folds: Sequence[int], seeds: Sequence[int]) -> str:
    """A line on the figures: folds, seeds and epoch selection."""
    chosen = dict.fromkeys(each.ours.selection for each in rows if each.ours)
    # A row without training has no epoch selection.
    trained = [each for each in chosen if each != "last"] or list(chosen)
    epoch = f"; epoch: {EPOCHS[trained[0]]}" if trained else ""
    listed = (", ".join(map(str, each)) for each in (folds, seeds))
    return "mean over folds {}; mean ± standard deviation over seeds {}".format(*listed) + f"{epoch}; percent"


def caveats(
    paper: Paper, dataset: str, have: Sequence[int], folds: Sequence[int], seeds: Sequence[int]
) -> list[str]:
    """Sentences if there are fewer folds or seeds than in the paper, or no published figures."""
    messages = []
    known = paper.protocol.folds.get(dataset.casefold())
    if known is None:
        messages.append(f"There are no published figures for {dataset}: the paper has {_names(paper)}.")
    needed, whose = (known, "the paper's") if known is not None else (len(have), "its")
    if len(folds) < needed:
        messages.append(
            f"{len(folds)} of {whose} {needed} folds: the mean is not comparable with that over all folds."
        )
    if len(seeds) < paper.protocol.seeds:
        messages.append(
            f"{len(seeds)} of the paper's {paper.protocol.seeds} seeds: the mean has a larger seed variance."
        )
    return messages


def _names(paper: Paper) -> str:
    return ", ".join(map(dataset_title, paper.protocol.folds))


class HasPublished(Protocol):
    """A row with its published figures, if there are any."""

    @property
    def name(self) -> str:
        """The name of the row."""

    @property
    def published(self) -> Published | None:
        """The published figures."""


def sources(rows: Sequence[HasPublished]) -> list[str]:
    """A sentence per source of the published figures of `rows`, then one per doubt."""
    by_source: dict[str, list[str]] = {}
    for each in rows:
        if each.published:
            by_source.setdefault(each.published.source, []).append(each.name)
    if len(by_source) == 1:
        sentences = [f"Published figures: {source}." for source in by_source]
    else:
        sentences = [
            f"Published figures of {', '.join(rows)}: {source}." for source, rows in by_source.items()
        ]
    return sentences + [
        f"Doubtful, {each.name}: {each.published.doubt}."
        for each in rows
        if each.published and each.published.doubt
    ]


COLUMNS = ("row", "UAR", "WAR", "published UAR", "published WAR", "difference")


def columns(rows: Sequence[RowResult]) -> list[str]:
    """The headings of a table, with the last epoch's figures if another was selected."""
    first, uar, war, *others = COLUMNS
    last = ["last UAR", "last WAR"] if any(each.last for each in rows) else []
    return [first, uar, war, *last, *others]


def cells(row: RowResult, wide: bool) -> list[str]:
    """The cells under `columns`; `wide` if there are columns of the last epoch."""
    ours = [str(row.ours.uar), str(row.ours.war)] if row.ours else [row.note, ""]
    other = row.last or row.ours
    last = ([str(other.uar), str(other.war)] if other else ["", ""]) if wide else []
    missing = ["-", "-"] if row.in_paper else [NOT_IN_PAPER, ""]
    published = [f"{row.published.uar:.2f}", f"{row.published.war:.2f}"] if row.published else missing
    difference = "{:+.2f} {:+.2f}".format(*row.difference) if row.difference else ""
    return [f"{row.number} {row.name}", *ours, *last, *published, difference]


def markdown(result: Reproduced) -> str:
    """The tables as Markdown."""
    lines = [f"# Reproduced on {result.dataset}", "", f"{result.protocol}.", ""]
    lines += [f"- {each}" for each in result.caveats]
    for table, title in result.titles.items():
        rows = result.of(table)
        heads = columns(rows)
        lines += ["", f"## {table}: {title}", ""]
        lines += [_line(heads), _line(["---"] * len(heads))]
        lines += [_line(cells(each, "last UAR" in heads)) for each in rows]
        notes = [*sources(rows), *result.assumed[table]]
        lines += ["", *(f"- {each}" for each in notes)] if notes else []
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(each.replace('|', '&#124;') for each in cells)} |"


def keep(result: Reproduced, runs: Mapping[tuple[str, int], Sequence[Run]]) -> None:
    """Write tables.md, a confusion matrix of each row as PNG and SVG, and last reproduction.json."""
    from dfer_model.reports.run_figures import confusion_figure

    for row in result.rows:
        of_row = runs[row.table, row.number]
        if not of_row:
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", row.name.casefold()).strip("-")
        which = ", ".join(map(str, result.folds))
        folds = f"folds {which} merged" if len(result.folds) > 1 else f"fold {which}"
        title = f"{row.table}, {row.name}\n{result.dataset}, {folds}"
        for suffix in ("png", "svg"):
            path = result.folder / "confusion" / f"{row.table}-{row.number}-{slug}.{suffix}"
            confusion_figure(path, merged(of_row), result.class_names, title)
    write_atomically(result.folder / "tables.md", markdown(result))
    text = json.dumps(result.as_dict(), ensure_ascii=False, indent=2)
    write_atomically(result.folder / "reproduction.json", text)
