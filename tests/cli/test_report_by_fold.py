"""The figures by fold of a report, checked against counts worked out by hand and scikit-learn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from dfer_model.comparison.record import ComparisonRecord
from dfer_prompts import report

from ..stored_comparisons import store
from .report_files import csv_rows, table_rows

COUNTS = {  # by set and fold: rows are the true classes glad and sad
    ("one", 1): [[3, 1], [0, 4]],
    ("one", 2): [[1, 1], [2, 4]],
    ("two", 1): [[4, 0], [4, 0]],
    ("two", 2): [[0, 0], [1, 5]],
}


def stored(workspace: Path) -> Path:
    """A comparison of one seed with the predictions of COUNTS."""
    folder = store(workspace, ["one", "two"], folds=(1, 2), seeds=(1,), class_names=("glad", "sad"))
    runs = json.loads((folder / "comparison.json").read_text())["runs"]
    for run, counts in zip(
        runs, (COUNTS[name, fold] for fold in (1, 2) for name in ("one", "two")), strict=True
    ):
        path = workspace / "runs" / run / "result.json"
        result = json.loads(path.read_text())
        result["measures"]["last"]["confusion"] = counts
        path.write_text(json.dumps(result))
    return folder


def computed(matrices: list[Any]) -> list[str]:
    """UAR, WAR and recalls of confusion matrices together, by scikit-learn."""
    total = np.sum(matrices, axis=0)
    true = np.repeat([0, 0, 1, 1], total.ravel())
    predicted = np.repeat([0, 1, 0, 1], total.ravel())
    recalls = 100 * recall_score(true, predicted, labels=[0, 1], average=None)
    return [f"{each:.2f}" for each in (recalls.mean(), 100 * accuracy_score(true, predicted), *recalls)]


def test_folds_their_mean_and_pooled_clips(isolated: Path) -> None:
    text = report(stored(isolated), out="report.md").path.read_text(encoding="utf-8")
    found = table_rows(text, "**UAR, WAR and recall of each class in percent, trained")
    assert found[0] == ["set", "fold", "UAR", "WAR", "glad", "sad"]
    one = [COUNTS["one", 1], COUNTS["one", 2]]
    assert found[1] == ["one", "1", *computed(one[:1])]
    assert found[2] == ["one", "2", *computed(one[1:])]
    # Means: UAR of 87.5 and 58.33, WAR of 87.5 and 62.5, recalls of 75 and 50, and of 100 and 66.67.
    assert found[3] == ["one", "mean", "72.92", "75.00", "62.50", "83.33"]
    assert found[4] == ["one", "pooled", *computed(one)]
    assert len(found) == 1 + 2 * 4


def test_a_class_without_clips_is_left_out_of_a_fold(isolated: Path) -> None:
    text = report(stored(isolated), out="report.md").path.read_text(encoding="utf-8")
    found = table_rows(text, "**UAR, WAR and recall of each class in percent, trained")
    assert found[6] == ["two", "2", "83.33", "83.33", "–", "83.33"]
    assert found[7] == ["two", "mean", "66.67", "66.67", "100.00", "41.67"]
    assert found[8] == ["two", "pooled", "75.00", "64.29", "100.00", "50.00"]


def test_the_mean_over_folds_is_the_figure_of_the_comparison(isolated: Path) -> None:
    folder = store(isolated, ["one", "two"], folds=(1, 2, 3), seeds=(1, 2, 3), class_names=("glad", "sad"))
    text = report(folder, out="report.md").path.read_text(encoding="utf-8")
    found = {row[0]: row for row in table_rows(text, "**UAR, WAR and recall of each") if row[1] == "mean"}
    for each in ComparisonRecord.read(folder).comparison.sets:
        uar, war = each.measures["trained"].uar, each.measures["trained"].war
        shown = [f"{figure.mean:.2f} (±{figure.std:.2f})" for figure in (uar, war)]
        assert found[each.name][2:4] == shown


def test_csv_has_every_fold_and_pooled_figures_of_zero_shot(isolated: Path) -> None:
    made = report(stored(isolated), out="figures.csv")
    assert made.format == "csv"
    found = csv_rows(made.path)
    assert list(found[0])[:8] == [
        "measure", "set", "fold", "seeds", "UAR", "WAR", "recall glad", "recall sad",
    ]  # fmt: skip
    shown = {(each["measure"], each["set"], each["fold"]): each for each in found}
    folds = ["1", "2", "mean", "pooled"]
    assert list(shown) == [
        *(("zero-shot", name, "pooled") for name in ("one", "two")),
        *(("trained", name, fold) for name in ("one", "two") for fold in folds),
    ]
    both = [COUNTS["one", 1], COUNTS["one", 2]]
    assert list(shown["trained", "one", "pooled"].values())[3:8] == ["1", *computed(both)]
    assert shown["trained", "two", "2"]["recall glad"] == shown["trained", "two", "2"]["sd UAR"] == ""
    counts = json.loads((made.of / "confusions.json").read_text())["zero-shot"]["sets"]["two"]
    assert list(shown["zero-shot", "two", "pooled"].values())[4:8] == computed(counts)


def test_zero_shot_has_folds_if_they_are_stored(isolated: Path) -> None:
    folder = stored(isolated)
    title = "**UAR, WAR and recall of each class in percent, zero-shot"
    assert title not in report(folder, out="older.md").path.read_text(encoding="utf-8")
    path = folder / "confusions.json"
    record = json.loads(path.read_text())
    one = [COUNTS["one", fold] for fold in (1, 2)]
    record["zero-shot"]["sets"]["one"] = [np.sum(one, axis=0).tolist()]
    record["zero-shot"]["folds"] = {"one": {"1": one[:1], "2": one[1:]}}
    path.write_text(json.dumps(record))
    found = table_rows(report(folder, out="report.md").path.read_text(encoding="utf-8"), title)
    assert found[1:] == [
        ["one", "1", *computed(one[:1])],
        ["one", "2", *computed(one[1:])],
        ["one", "mean", "72.92", "75.00", "62.50", "83.33"],
        ["one", "pooled", *computed(one)],
    ]


def test_csv_names_are_not_formulas(isolated: Path) -> None:
    store(isolated, ["=1+1", "two"], seeds=(1, 2), class_names=('a,"b"', "@sad"))
    made = report(out="figures.csv")
    with made.path.open(encoding="utf-8", newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header[6:8] == ['recall a,"b"', "recall @sad"]
    assert first[1] == "'=1+1"
    assert first[header.index("sd UAR")] == ""  # zero-shot has one seed


@pytest.mark.parametrize(("classes", "label"), [(7, "folds-trained"), (11, "folds-trained-0")])
def test_latex_has_a_table_that_fits(isolated: Path, classes: int, label: str) -> None:
    names = [f"class{number}" for number in range(classes)]
    store(isolated, ["one", "two"], folds=(1, 2), seeds=(1, 2), clips=1, class_names=names)
    latex = report(out="tables.tex").path.read_text(encoding="utf-8")
    table = latex[latex.index(rf"\label{{tab:{label}}}") :]
    lines = [line for line in table[: table.index(r"\end{table}")].splitlines() if line.endswith(r"\\")]
    assert [len(line.split("&")) for line in lines] == ([11] * 9 if classes == 7 else [5] * 14)
    if classes == 11:
        assert lines[0].strip() == r"figure & fold 1 & fold 2 & mean & pooled \\"
