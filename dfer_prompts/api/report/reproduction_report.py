"""The report of a reproduction: our figures beside the published ones, and the figures fold by fold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..reproduce.paper_tables import paper
from ..reproduce.results import sources
from .by_class import ALL_FOLDS, MATRIX_NOTE, ByMeasure, ClassCounts, confusion_table, recall_table
from .by_fold import fold_section
from .render import Block, Code, Content, Folded, Section, Table, cells, for_paper, paragraph, points
from .reproduction_rows import csv_rows, plain_rows
from .reproduction_tables import latex_tables, page_table
from .set_texts import word_for_word
from .stored_reproduction import Reproduction, StoredRow


def reproduction_content(folder: Path, runs: Path) -> Content:
    """The report of the reproduction in `folder`; `runs` is the folder of the workspace's runs."""
    of = Reproduction.open(folder, runs)
    found, tables = _class_counts(of), list(of.stored.titles)
    names = list(dict.fromkeys(each.name for each in of.stored.rows))
    folds = _of_rows(fold_section(found, tables, names))
    recalls = _of_rows(_recalls(of, found, names))
    sections = (
        Section("result", "Result", tuple(_result(of))),
        *(_rows(of, table) for table in tables),
        folds,
        recalls,
        _confusions(found),
        word_for_word(of.stored.texts()),
        Section("repeat", "Runs and commands", tuple(_runs(of))),
    )
    for_latex = [each for table in tables for each in latex_tables(of, table)]
    for_latex += [each for part in (folds, recalls) for each in part.blocks if isinstance(each, Table)]
    title = f"{' and '.join(tables)} of the DFER-CLIP paper, reproduced on {of.stored.dataset}"
    return Content(
        title, tuple(_facts(of).items()), sections, for_paper(for_latex), csv_rows(of), records=plain_rows(of)
    )


def _facts(of: Reproduction) -> dict[str, str]:
    stored = of.stored
    run = sum(each.ours is not None for each in stored.rows)
    return {
        "reproduction": of.folder.name,
        "paper": paper().source,
        "clips": stored.dataset,
        "folds": ", ".join(map(str, stored.folds)),
        "seeds": ", ".join(map(str, stored.seeds)),
        "rows": f"{run} run, {len(stored.rows) - run} not run",
    }


def _class_counts(of: Reproduction) -> ByMeasure:
    """The predictions of each row by table and name; of a row without its runs, the stored sum."""
    found: dict[str, dict[str, ClassCounts]] = {table: {} for table in of.stored.titles}
    for row in of.stored.rows:
        if runs := of.runs_of(row):
            every = np.sum(list(runs.counts.values()), axis=0)
            found[row.table][row.name] = ClassCounts(of.stored.class_names, every, runs.counts)
        elif row.confusion is not None:
            every = np.asarray(row.confusion, dtype=np.int64)[None]
            found[row.table][row.name] = ClassCounts(of.stored.class_names, every)
    return found


def _result(of: Reproduction) -> list[Block]:
    stored = of.stored
    first = [sentence for table in stored.titles for sentence in _headlines(of, table)]
    notes = [f"Our figures: {stored.protocol}."] if stored.protocol else []
    if any(of.runs.values()):
        notes.append(
            "An interval includes the sampling variance of the test clips and the seed variance; with one "
            "seed, only the first. The published figures have no interval."
        )
    missing = [_titled(each) for each in stored.rows if each.ours and of.runs_of(each) is None]
    if missing:
        notes.append(
            f"The runs of {'; '.join(missing)} no longer exist: no intervals and no figures by fold. "
            "Repeating the reproduce command adds them."
        )
    return [points(first), points([*notes, *stored.caveats])]


def _titled(row: StoredRow) -> str:
    return f"{row.table}, {row.name}"


def _headlines(of: Reproduction, table: str) -> list[str]:
    """Which rows were run, and how many published figures are within our intervals."""
    rows = of.stored.of(table)
    run = [each for each in rows if each.ours]
    messages = [f"{table}: {len(run)} of {len(rows)} chosen rows were run."]
    chosen = {each.number for each in rows}
    if table in paper().tables:
        others = [row.name for number, row in paper().tables[table].numbered() if number not in chosen]
        messages += [f"{table}, not chosen: {'; '.join(others)}."] if others else []
    within = [
        runs.intervals[0].low <= row.published.uar <= runs.intervals[0].high
        for row in run
        if row.published and (runs := of.runs_of(row))
    ]
    if within:
        messages.append(
            f"{table}: the published UAR is within our 95% interval in {sum(within)} of {len(within)} rows."
        )
    return messages


def _rows(of: Reproduction, table: str) -> Section:
    messages = [*sources(of.stored.of(table)), *of.stored.assumed.get(table, ())]
    blocks: list[Block] = [page_table(of, table), *([points(messages)] if messages else [])]
    return Section(f"rows-of-{table}", f"{table}: {of.stored.titles[table]}", tuple(blocks))


def _recalls(of: Reproduction, found: ByMeasure, names: Sequence[str]) -> Section:
    folds = of.stored.folds
    over = ALL_FOLDS if len(folds) > 1 else f"fold {folds[0]}"
    tables = tuple(recall_table(table, by_row, names, over) for table, by_row in found.items() if by_row)
    return Section("recalls", "Recall of each class", tables)


def _of_rows(of: Section) -> Section:
    """The section with `row` instead of `set` as the heading of the names."""
    blocks = tuple(
        replace(each, columns=("row", *each.columns[1:]))
        if isinstance(each, Table) and each.columns[0] == "set"
        else each
        for each in of.blocks
    )
    return replace(of, blocks=blocks)


def _confusions(found: ByMeasure) -> Section:
    tables = [
        confusion_table(f"confusion-{table}-{place}", f"{name}, {table}", each)
        for table, by_row in found.items()
        for place, (name, each) in enumerate(by_row.items())
    ]
    blocks = (paragraph(MATRIX_NOTE), Folded(f"{len(tables)} confusion matrices", tuple(tables)))
    return Section("confusion", "Confusion matrices", blocks if tables else ())


def _runs(of: Reproduction) -> list[Block]:
    """The runs of each row, the versions they were made with, and the commands."""
    rows = tuple(
        cells(_titled(row), row.texts.name if row.texts else "", "; ".join(row.runs))
        for row in of.stored.rows
        if row.runs
    )
    table = Table(
        "runs", "Runs of each row, in the folder runs", ("row", "texts", "runs"), rows, words=(0, 1, 2)
    )
    blocks: list[Block] = [Folded(f"Runs of {len(rows)} rows", (table,))] if rows else []
    results = [runs.runs[0].result for runs in of.runs.values() if runs]
    known: dict[str, str] = results[0].get("versions", {}) if results else {}
    if known:
        blocks.append(paragraph(f"Made with {', '.join(f'{name} {it}' for name, it in known.items())}."))
    if of.stored.command:
        blocks.append(paragraph("The reproduction, in the same workspace; finished runs are reused:"))
        blocks.append(Code(shlex.join(of.stored.command)))
    name = of.folder.name if of.folder.parent.name == "reproductions" else str(of.folder)
    command = shlex.join(["dfer-prompts", "report", name])
    return [
        *blocks,
        paragraph("Settings and texts of each row: reproduction.json. This report:"),
        Code(command),
    ]
