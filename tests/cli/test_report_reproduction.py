"""`report` of a reproduction, checked against hand-worked counts, scikit-learn and normal intervals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, recall_score

from dfer_model.evaluation.cost_record import Cost, write_cost
from dfer_prompts import InputError, Workspace, report

from ..stored_reproductions import CLASSES, COUNTS, DESCRIPTORS, NOT_RUN, OURS
from ..stored_reproductions import store_reproduction as stored
from .report_files import csv_rows


def computed(*matrices: list[list[int]]) -> list[float]:
    """UAR, WAR and recalls of confusion matrices together, by scikit-learn."""
    total = np.sum(matrices, axis=0).ravel()
    true, predicted = np.repeat([0, 0, 1, 1], total), np.repeat([0, 1, 0, 1], total)
    recalls = 100 * recall_score(true, predicted, average=None)
    return [recalls.mean(), 100 * accuracy_score(true, predicted), *recalls]


def test_csv_has_our_figures_their_published_ones_and_every_fold(isolated: Path) -> None:
    stored(isolated)
    found = {(each["row"], each["fold"]): each for each in csv_rows(report("abc1", out="rows.csv").path)}
    assert list(found) == [
        *((OURS, fold) for fold in ("1", "2", "mean", "pooled")),
        (NOT_RUN, "mean"),
        *((DESCRIPTORS, fold) for fold in ("1", "2", "mean", "pooled")),
    ]
    figures = ("UAR", "WAR", *(f"recall {name}" for name in CLASSES))
    for fold, seeds in (("1", [(1, 1), (1, 2)]), ("2", [(2, 1), (2, 2)])):
        each = np.array([computed(COUNTS[DESCRIPTORS, *key]) for key in seeds])
        line = found[DESCRIPTORS, fold]
        assert [line[name] for name in figures] == [f"{value:.2f}" for value in each.mean(axis=0)]
        assert [line[f"sd {name}"] for name in figures] == [f"{value:.2f}" for value in each.std(0, ddof=1)]
    # UAR of seed 1: (82.5 + 58.33) / 2; of seed 2: (80 + 60) / 2.
    mean = found[DESCRIPTORS, "mean"]
    assert (mean["UAR"], mean["sd UAR"], mean["seeds"]) == ("70.21", "0.29", "2")
    assert (mean["published UAR"], mean["published WAR"], mean["difference UAR"]) == (
        "39.89",
        "52.55",
        "30.32",
    )
    assert mean["source"] == "Zhao and Patras, BMVC 2023 (arXiv 2308.13382), Table 3"
    pooled = computed(COUNTS[OURS, 1, 1], COUNTS[OURS, 2, 1])
    assert [found[OURS, "pooled"][name] for name in figures] == [f"{value:.2f}" for value in pooled]
    ours, not_run = found[OURS, "mean"], found[NOT_RUN, "mean"]
    assert (ours["in paper"], ours["run"], ours["published UAR"], ours["difference UAR"]) == (
        "no",
        "yes",
        "",
        "",
    )
    assert (not_run["run"], not_run["note"]) == ("no", "skipped: for the test")
    assert (not_run["UAR"], not_run["published UAR"], not_run["published WAR"]) == ("", "39.64", "51.21")


def test_the_cost_of_a_row_is_on_its_lines_only(isolated: Path, tmp_path: Path) -> None:
    folder = stored(isolated)
    cost = Cost(151_300_000, 90_520_000, 141_160_000_000, 16, 224, 1, texts_included=False)
    write_cost(isolated / "runs" / "run0", cost)  # of the first fold and seed of DESCRIPTORS
    elsewhere = Workspace(tmp_path / "other")  # the runs are in the workspace of the reproduction
    lines = csv_rows(report(folder, out="rows.csv", workspace=elsewhere).path)
    found = {(each["row"], each["trained parameters"], each["FLOPs per clip"]) for each in lines}
    assert found == {(OURS, "", ""), (NOT_RUN, "", ""), (DESCRIPTORS, "90520000", "141160000000")}


def test_a_negative_difference_is_a_number_in_csv(isolated: Path) -> None:
    folder = stored(isolated)
    path = folder / "reproduction.json"
    record = json.loads(path.read_text())
    record["rows"][2]["difference"] = [-3.456, 0]
    path.write_text(json.dumps(record))
    line = csv_rows(report(folder, out="rows.csv").path)[-2]
    assert (line["difference UAR"], line["difference WAR"]) == ("-3.46", "0.00")


def test_interval_of_one_seed_is_the_sampling_variance_of_the_clips(isolated: Path) -> None:
    made = report(stored(isolated))
    (ours,) = [each for each in made.rows if each["name"] == OURS]
    # Recalls of 50, 50, 100 and 50%, of 60 clips each; the UAR is their mean.
    error = 100 * np.sqrt(3 * 0.5 * 0.5 / 59) / 4
    low, high = norm.interval(0.95, 62.5, error)
    assert ours["uar"]["mean"] == 62.5
    assert ours["uar"]["std"] is None
    assert (ours["uar"]["low"], ours["uar"]["high"]) == (
        pytest.approx(low, abs=0.5),
        pytest.approx(high, abs=0.5),
    )


def test_json_is_every_row_with_figures_intervals_and_folds(
    isolated: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(isolated)
    command("report", "abc123", "--format", "latex", "--json")
    made = json.loads(capsys.readouterr().out)
    assert (made["format"], Path(made["of"]).resolve()) == ("latex", folder.resolve())
    by_name = {each["name"]: each for each in made["rows"]}
    assert {name: each["run"] for name, each in by_name.items()} == {
        OURS: True,
        NOT_RUN: False,
        DESCRIPTORS: True,
    }
    assert [by_name[name]["in_paper"] for name in (OURS, DESCRIPTORS)] == [False, True]
    row = by_name[DESCRIPTORS]
    assert (row["seeds"], row["folds"], row["runs"]) == ([1, 2], [1, 2], [f"run{n}" for n in range(4)])
    assert row["uar"]["low"] < row["uar"]["mean"] < row["uar"]["high"]
    assert row["difference"]["uar"] == pytest.approx(row["uar"]["mean"] - 39.89)
    assert row["published"]["source"].endswith("Table 3")
    assert [each["fold"] for each in row["by_fold"]] == ["1", "2", "mean", "pooled"]
    assert row["by_fold"][2]["uar"]["mean"] == pytest.approx(row["uar"]["mean"])
    assert row["by_fold"][1]["recalls"]["glad"]["mean"] == pytest.approx(100 * (40 + 36) / 120)
    assert by_name[NOT_RUN]["uar"] is None


def test_markdown_marks_rows_of_ours_and_rows_not_run(isolated: Path) -> None:
    text = report(stored(isolated), out="report.md").path.read_text(encoding="utf-8")
    lines = {line.split("|")[1].split("(")[0].strip(): line for line in text.splitlines() if "|" in line}
    assert (
        lines["2 a photo of {class}, with temporal model"].split("|")[1].endswith("(ours, not in the paper) ")
    )
    assert "skipped: for the test" in lines["6 learnable + class, with temporal model"]
    cells = [cell.strip() for cell in lines[f"8 {DESCRIPTORS}"].split("|")][2:-1]
    assert cells[0].startswith("70.21 ± 0.29 (")
    assert cells[2:5] == ["1, 2", "39.89", "52.55"]
    assert cells[5:] == ["+30.32", "+17.66"]
    assert "table3: 2 of 3 chosen rows were run." in text
    assert "not chosen: a photo of {class}, without temporal model;" in text
    assert "Published figures: Zhao and Patras, BMVC 2023 (arXiv 2308.13382), Table 3." in text
    assert "2 of the 5 folds of the paper." in text
    assert "| row | fold | UAR | WAR | glad | sad & 50% |" in text.replace("&amp;", "&").replace("\\", "")


def test_page_and_latex(isolated: Path) -> None:
    folder = stored(isolated)
    page = report(folder)
    assert page.path == folder / "report.html"
    assert "table3 of the DFER-CLIP paper, reproduced on mafw" in page.path.read_text(encoding="utf-8")
    latex = report(folder, out="tables.tex").path.read_text(encoding="utf-8")
    assert latex.count(r"\toprule") == 4  # figures, intervals, folds, recalls
    assert (
        r"learnable + descriptors, with temporal model & 70.21 $\pm$ 0.29 & 70.21 $\pm$ 0.29 & 39.89 & 52.55"
        r" & +30.32 & +17.66 \\"
    ) in latex
    assert r"a photo of \{class\}, with temporal model {*} & 62.50 & 62.50 & -- & -- & -- & -- \\" in latex


def test_a_reproduction_elsewhere_is_given_by_its_folder(isolated: Path) -> None:
    folder = stored(isolated, isolated / "result")
    made = report("result", out="a.csv")
    assert made.of.resolve() == folder.resolve()
    assert made.rows[2]["uar"]["low"] is not None  # its runs are those of the workspace
    assert report(folder / "reproduction.json", out="a.csv").of == folder


def test_without_its_runs_a_row_has_its_stored_figures(isolated: Path) -> None:
    folder = stored(isolated)
    shutil.rmtree(isolated / "runs" / "run1")
    made = report(folder, out="report.md")
    text = made.path.read_text(encoding="utf-8")
    assert f"The runs of table3, {DESCRIPTORS} no longer exist" in text.replace("\\", "")
    assert made.rows[2]["uar"]["mean"] == pytest.approx(70.2083, abs=1e-4)
    assert (made.rows[2]["uar"]["low"], made.rows[2]["by_fold"]) == (None, [])
    lines = [each for each in csv_rows(report(folder, out="a.csv").path) if each["row"] == DESCRIPTORS]
    assert [(each["fold"], each["UAR"], each["UAR low"]) for each in lines] == [("mean", "70.21", "")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("rows"), "reproduction.json is damaged: rows: Field required"),
        (
            lambda record: record["rows"][2].update(runs=["../../elsewhere"]),
            "rows, item 3, runs, item 1: String",
        ),
        (
            lambda record: record["rows"][2]["ours"]["uar"].update(mean="high"),
            "ours, uar, mean: Input should be",
        ),
        (lambda record: record["rows"][2].update(confusion=[[1]]), "the confusion matrix is not 2 x 2"),
        (lambda record: record.update(titles={}), "the table has no title"),
        (lambda record: record.update(folds=[1, 2, 3]), "are not those of the reproduction"),
    ],
)
def test_a_damaged_reproduction_is_an_error(
    change: Callable[[Any], object], message: str, isolated: Path
) -> None:
    path = stored(isolated) / "reproduction.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError) as raised:
        report("abc123", workspace=Workspace(isolated))
    assert message in str(raised.value)
    assert "Repeat its reproduce command" in str(raised.value)


def test_a_name_that_is_not_there_lists_the_reproductions(
    isolated: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(isolated)
    command("report", "abd123def456", status=2)
    lines = capsys.readouterr().err
    assert (
        "no comparison, reproduction, run or optimisation 'abd123def456'; did you mean abc123def456?" in lines
    )
    assert "reproductions: abc123def456" in lines
    (folder / "reproduction.json").write_text("{")
    command("report", "abc123def456", status=2)
    assert "abc123def456 is damaged: reproduction.json is not valid JSON" in capsys.readouterr().err
