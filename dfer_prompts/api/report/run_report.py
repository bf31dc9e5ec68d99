"""The report of one run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .by_class import ByMeasure, ClassCounts, confusion_table, recall_table
from .by_fold import fold_rows, fold_section
from .by_group import run_groups, with_groups
from .curves import run_learning
from .render import Block, Code, Content, Section, Table, cells, for_paper, paragraph, points
from .repeat import settings_words
from .set_texts import diagnostics, word_for_word
from .stored import run_texts
from .top2 import HEAD as TOP2_HEAD
from .top2 import csv_with_top2, fold_top2, run_top2

if TYPE_CHECKING:
    from dfer_model.evaluation.groups import Groups
    from dfer_model.runs import Run

SELECTIONS = "by epoch selection"
MEASURES = {"uar": "UAR", "war": "WAR", "macro_f1": "macro-F1", "calibration_error": "calibration error"}
ONE = (
    "Figures of one run do not show that one description set is better than another: trained on many "
    "clips, a classifier learns any distinct class weights. dfer-prompts compare sets them against noise and "
    "controls."
)


def run_content(folder: Path, groups: Groups | None = None) -> Content:
    """The report of a finished run, with results by group if these are given."""
    from dfer_model.runs import Run

    run = Run.open(folder)
    texts = {run.texts.name: run_texts(folder)} if run.settings.uses_texts else {}
    top2 = {name: run_top2(folder, name, each) for name, each in run.result["measures"].items()}
    figures, folds, by_dataset = _figures(run, top2), fold_section(*_by_fold(run)), _datasets(run)
    shown = [each for each in (figures, by_dataset) if each.rows]
    sections = (
        Section("figures", "Figures", (*shown, points(_notes(run)))),
        folds,
        Section("recalls", "Recall of each class", tuple(_recalls(run))),
        Section("confusion", "Confusion matrices", tuple(_confusions(run))),
        Section("learning", "Learning curves", tuple(run_learning(folder, run.texts.name, run.seed))),
        diagnostics(texts, run.settings.contexts),
        word_for_word(texts),
        Section("repeat", "How to repeat it", tuple(_repeat(run))),
    )
    title = f"{run.texts.name} on {run.config['dataset']['name'] or 'other clips'}"
    paper = _paper(figures, folds, [*([by_dataset] if by_dataset.rows else []), *_recalls(run)])
    known = [row for name, value in top2.items() for row in fold_top2(SELECTIONS, name, run.fold, value)]
    rows = csv_with_top2(fold_rows(*_by_fold(run)), known)
    content = Content(title, tuple(_facts(run).items()), sections, paper, rows)
    return with_groups(content, run_groups(run, groups, SELECTIONS) if groups else None)


def _facts(run: Run) -> dict[str, str]:
    from dfer_model.evaluation.calibration import read_calibration
    from dfer_model.reports.run_card import settings_in_words

    result = run.result
    facts = {
        "run": run.id,
        "fold and seed": f"test fold {run.fold}, seed {run.seed}",
        "settings": settings_in_words(run.settings, str(run.config["dataset"]["name"])).replace("\\", ""),
    }
    if clips := result.get("clips"):
        facts["clips"] = f"{clips['train']} for training, {clips['test']} for testing"
    if known := read_calibration(run):
        facts["calibration"] = known.in_words()
    if created := run.config.get("created"):
        facts["begun"] = str(created)
    return facts


def _figures(run: Run, top2: Mapping[str, float | None]) -> Table:
    """The figures of each epoch selection; top-2 accuracy if it is known."""
    known = any(value is not None for value in top2.values())
    rows = []
    for selection, measured in run.result["measures"].items():
        values = [measured[key] for key in MEASURES] + ([top2[selection]] if known else [])
        rows.append(cells(selection, *("–" if value is None else f"{value:.1f}" for value in values)))
    heads = ("epoch selected by", *MEASURES.values(), *([TOP2_HEAD] if known else []))
    return Table("figures", "The test fold, in percent", heads, tuple(rows))


def _datasets(run: Run) -> Table:
    """The figures on the test clips of each of several datasets; without rows for one dataset."""
    rows = [
        cells(name, selection, str(measured["clips"]), *(f"{measured[key]:.1f}" for key in ("uar", "war")))
        for name, each in run.result.get("datasets", {}).items()
        for selection, measured in each["measures"].items()
    ]
    heads = ("dataset", "epoch selected by", "test clips", "UAR", "WAR")
    return Table("datasets", "The test clips of each dataset, in percent", heads, tuple(rows))


def _notes(run: Run) -> list[str]:
    from dfer_model.reports.run_card import CHOICE

    messages = [ONE, *run.result.get("notes", [])]
    if not run.selections:
        made = "was imported" if "imported" in run.config else "was made without a dataset"
        return [*messages, f"The run {made} and has no figures; run dfer-prompts evaluate."]
    choice = CHOICE[run.selected].replace("*", "")
    return [f"Epoch: {choice}.", *messages]


def _answered(run: Run) -> dict[str, ClassCounts]:
    measures: dict[str, Any] = run.result["measures"]
    counts = {name: np.asarray(each["confusion"], dtype=np.int64)[None] for name, each in measures.items()}
    return {name: ClassCounts(run.class_names, each, {run.fold: each}) for name, each in counts.items()}


def _by_fold(run: Run) -> tuple[ByMeasure, list[str], list[str]]:
    found = _answered(run)
    return {SELECTIONS: found}, [SELECTIONS], list(found)


def _paper(figures: Table, folds: Section, recalls: list[Table]) -> tuple[Table, ...]:
    by_fold = [each for each in folds.blocks if isinstance(each, Table)]
    return for_paper((figures, *by_fold, *recalls))


def _recalls(run: Run) -> list[Table]:
    found = _answered(run)
    return [recall_table(SELECTIONS, found, found, f"fold {run.fold}")] if found else []


def _confusions(run: Run) -> list[Block]:
    return [
        confusion_table(f"confusion-{selection}", f"epoch selected by {selection}", each)
        for selection, each in _answered(run).items()
    ]


def _repeat(run: Run) -> list[Block]:
    dataset = run.config["dataset"]
    if "imported" in run.config:
        file = shlex.join(["dfer-prompts", "import-checkpoint", str(run.config["imported"]["file"])])
        return [Code(file), paragraph("For further options: dfer-prompts import-checkpoint --help.")]
    words = ["dfer-prompts", "train"]
    if run.settings.uses_texts:
        words += ["--descriptions", run.texts.name]
    paths = [each["path"] for each in dataset.get("parts") or [dataset]]
    words += [word for path in paths if path for word in ("--dataset", str(path))]
    words += ["--classes", str(dataset["class_set"])] if dataset.get("class_set") else []
    words += ["--fold", str(run.fold), "--seed", str(run.seed)]
    words += settings_words(run.settings)
    versions = ", ".join(f"{name} {number}" for name, number in run.result.get("versions", {}).items())
    return [Code(shlex.join(words)), *([paragraph(f"Made with {versions}.")] if versions else [])]
