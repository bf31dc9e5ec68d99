"""`report` of trainings: the printed command, transfer, runs and comparisons of runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_model.comparison.record import ComparisonRecord
from dfer_model.data.packed import PackedClips
from dfer_model.evaluation.calibration import Calibration, write_calibration
from dfer_model.runs import Run
from dfer_prompts import report

from ..model import tiny
from .report_files import Page, commands, csv_rows

BOTH = ["--measure", "supervised", "--measure", "few-shot"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def quick(packed: PackedClips) -> list[str]:
    settings = ["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0", "weights=random"]
    words = ["--dataset", str(packed.path), "--clip", tiny.register()]
    return words + [word for setting in settings for word in ("--set", setting)]


def all_clips(folder: Path, packed: PackedClips) -> Any:
    """UAR and WAR of all clips of each set, by measure, from a report by group."""
    Path("a.csv").write_text("clip_id,end\n" + "".join(f"{clip},{clip[-1]}\n" for clip in packed.clip_ids))
    found = [(each, each.grouped.all_clips) for each in report(folder, out="r.md", groups="a.csv").groups]
    return {
        (each.measure, each.name): pytest.approx((every.uar.mean, every.war.mean)) for each, every in found
    }


def figures_of(folder: Path, measures: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
    """UAR and WAR of each set on one fold, by measure, as the comparison computed them."""
    of_sets = ComparisonRecord.read(folder).comparison.sets
    return {
        (measure, each.name): (each.measures[measure].uar.mean, each.measures[measure].war.mean)
        for measure in measures
        for each in of_sets
    }


@pytest.mark.parametrize(
    "words",
    [
        ["v1@2", "--control", "swapped", *BOTH, "--shots", "0,1", "--folds", "1", "--seeds", "1"],
        ["v1@2", "v1@4", "--screen", "--folds", "1,2", "--seeds", "1-2"],
    ],
    ids=["trained", "screened"],
)
def test_the_printed_command_repeats_the_comparison_without_training(
    words: list[str], packed: PackedClips, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command("compare", *words, *quick(packed))
    ((folder),) = Path("comparisons").iterdir()
    assert f"dfer-prompts report {folder.name}" in capsys.readouterr().err
    command("report", folder.name, "--json")
    made = json.loads(capsys.readouterr().out)
    assert (made["format"], Path(made["path"])) == ("html", (folder / "report.html").resolve())
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "not stored here" not in page
    if "--screen" not in words:
        assert all_clips(folder, packed) == figures_of(folder, ("trained", "few-shot"))
    again, itself = commands(folder / "report.html")
    assert itself == ["dfer-prompts", "report", folder.name]
    trained = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    command(*again[1:])
    assert [each.name for each in Path("comparisons").iterdir()] == [folder.name]
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")} == trained


def test_transfer_confusions_are_of_the_target_clips(
    packed: PackedClips, tmp_path: Path, command: Callable[..., None]
) -> None:
    other = tiny.pack(tmp_path / "other", classes=("happiness", "anger"), name="other")
    words = ["--measure", "transfer", "--transfer-to", str(other.path), "--folds", "1", "--seeds", "1"]
    words += ["--measure", "held-out-class"]
    command("compare", "v1@2", "v1@4", *words, *quick(packed))
    ((folder),) = Path("comparisons").iterdir()
    text = report(out="report.md").path.read_text(encoding="utf-8")
    matrix = text[text.index("**v1@2, transfer**") :]
    assert matrix.splitlines()[2] == "| true class | happiness | anger |"
    assert f"--transfer-to {other.path}" in text
    assert all_clips(folder, packed) == figures_of(folder, ("held-out-class",))
    assert "transfer: no results by group" in report(out="r.md", groups="a.csv").path.read_text()
    record = json.loads((folder / "confusions.json").read_text())
    shown = {
        (each["measure"], each["set"], each["fold"]): each["UAR"]
        for each in csv_rows(report(out="folds.csv").path)
    }
    (first, _) = json.loads((folder / "comparison.json").read_text())["sets"]
    by_fold = record["transfer"]["folds"]["v1@2"]
    assert list(by_fold) == ["1", "2"]  # of the other clips
    assert np.array_equal(np.sum(list(by_fold.values()), axis=0), record["transfer"]["sets"]["v1@2"])
    assert shown["transfer", "v1@2", "mean"] == f"{first['transfer_uar']['mean']:.2f}"
    (folder / "confusions.json").unlink()  # as comparisons were kept before
    assert "transfer: confusion matrices are not stored here" in report(out="older.md").path.read_text()


def test_runs_and_comparisons_of_runs_have_reports(
    packed: PackedClips, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("v1@2", "v1@4"):
        command("train", "--descriptions", name, *quick(packed))
    ids = sorted(path.name for path in Path("runs").iterdir())
    write_calibration(Run.open(Path("runs") / ids[0]), Calibration(2.5, "clips of a test", 3, "f" * 8, ()))
    command("report", ids[0], "--out", "run.html")
    page = Page(Path("run.html"))
    measured = json.loads((Path("runs") / ids[0] / "result.json").read_text())["measures"]["last"]
    assert f"{measured['uar']:.1f}" in page.text
    assert "probabilities are those of the logits divided by 2.5, fitted on 3 clips of a test" in page.text
    assert "Recall of each class in percent, by epoch selection, fold 1" in page.text
    assert not any("all folds" in each or "over seeds" in each for each in page.text)
    (again,) = commands(Path("run.html"))
    capsys.readouterr()
    command(*again[1:], "--json")
    assert json.loads(capsys.readouterr().out)["run"] == ids[0]
    command("compare", *ids)
    command("report", "--out", "runs.html")
    shown = Page(Path("runs.html"))
    assert f"{ids[0]}, trained" in shown.text
    assert any("raised cheeks" in each for each in shown.text)
    Path("a.csv").write_text(
        "clip_id,place\n" + "".join(f"{c}-{n},{n // 2}\n" for c in tiny.CLASSES for n in range(4))
    )
    grouped = report(groups="a.csv:place", out="runs.md").groups
    assert [(each.name, [group.clips for group in each.grouped.groups]) for each in grouped] == [
        (name, [3, 3]) for name in ids
    ]
    runs = {name: Run.open(Path("runs") / name).measures("last") for name in ids}
    found = [each.grouped.all_clips.uar.mean for each in grouped]
    assert found == pytest.approx([each.uar for each in runs.values()])
    top2 = Path("runs.md").read_text().split("**Top-2 accuracy")[1]
    assert all(f"| {name} | {each.top2_accuracy:.2f} |" in top2 for name, each in runs.items())
    command(*commands(Path("runs.html"))[0][1:])
    assert len(list(Path("comparisons").iterdir())) == 1
