"""`reproduce` from the command line: what it lists, prints, keeps, finds again and refuses."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_prompts import report
from dfer_prompts.cli import main

from ..model import tiny
from ..model.training.test_loggers import events as curves

ROWS = (
    "--rows",
    "zero-shot CLIP",
    "--rows",
    "zero-shot FaRL",
    "--rows",
    "linear probe",
    "--rows",
    "DFER-CLIP",
)
QUICK = ("frames=2", "contexts=2", "batch_size=4", "workers=0")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", name="mafw")


def reproduce(monkeypatch: pytest.MonkeyPatch, *words: str, status: int = 0) -> None:
    monkeypatch.setattr(sys, "argv", ["dfer-prompts", "reproduce", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == status


def quick(packed: PackedClips) -> list[str]:
    words = ["--dataset", str(packed.path), "--clip", tiny.register(), "--weights", "random", "--epochs", "1"]
    for setting in QUICK:
        words += ["--set", setting]
    return words


def test_json_equals_the_stored_record_and_finished_runs_are_reused(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table2", "TABLE5", *ROWS, *quick(packed), "--folds", "1", "--seeds", "1,2", "--json"]
    reproduce(monkeypatch, *words, "--track", "tensorboard")
    result = json.loads(capsys.readouterr().out)
    rows = {each["name"]: each for each in result["rows"]}
    assert list(rows) == ["linear probe", "zero-shot CLIP", "zero-shot FaRL", "DFER-CLIP"]
    # Two seeds where something is drawn.
    assert {name: len(each["runs"]) for name, each in rows.items()} == {
        "linear probe": 2, "zero-shot CLIP": 1, "zero-shot FaRL": 0, "DFER-CLIP": 2,
    }  # fmt: skip
    ours = rows["DFER-CLIP"]
    assert (ours["published"]["uar"], ours["published"]["war"]) == (39.89, 52.55)
    assert ours["difference"][0] == pytest.approx(ours["ours"]["uar"]["mean"] - 39.89)
    assert ours["difference"][1] == pytest.approx(ours["ours"]["war"]["mean"] - 52.55)
    assert (ours["ours"]["selection"], ours["last"]["selection"]) == ("test-best", "last")
    assert rows["linear probe"]["published"] == {
        "uar": 30.74, "war": 42.95, "doubt": None,
        "source": "Zhao and Patras, BMVC 2023 (arXiv 2308.13382), Table 2",
    }  # fmt: skip
    folder = Path(result["folder"])
    assert folder.parent == Path("reproductions").resolve()
    assert json.loads((folder / "reproduction.json").read_text()) == result
    report(folder.name, out="page.md")
    assert shlex.join(result["command"]) in Path("page.md").read_text()
    trained = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    assert len(trained) == 5
    followed = [path.parent for path in Path("runs").glob("*/tensorboard")]
    assert len(followed) == len(trained)
    (run,) = [path for path in followed if path.name in ours["runs"][:1]]
    assert curves(run)["last/WAR"].keys() == {1}
    reproduce(monkeypatch, *result["command"][2:], "--json")
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")} == trained
    assert json.loads(capsys.readouterr().out) == result


def test_printed_table_protocol_and_sources(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Path("published.yaml").write_text(
        "published: {table2: {zero-shot CLIP: {mafw: {uar: 12.5, war: 25, source: my copy}}}}"
    )
    words = ["--folds", "1", "--seeds", "1", "--out", "result"]
    reproduce(monkeypatch, "table2", "table5", *ROWS, "--rows", "T-ESFL", *quick(packed), *words)
    out, err = capsys.readouterr()
    assert "epoch: the best on the test fold (optimistically biased)" in out
    assert "12.50" in out
    assert "Published figures of zero-shot CLIP: my copy." in out
    assert "Published figures: Zhao and Patras, BMVC 2023 (arXiv 2308.13382), Table 5." in out
    assert "skipped: it needs FaRL's weights (--farl FILE)" in out
    assert "1 of the paper's 5 folds" in err
    assert "1 of the paper's 3 seeds" in err
    assert f"As a page: dfer-prompts report {Path('result').resolve()}" in err
    (shared,) = [line for line in Path("result/tables.md").read_text().splitlines() if "T-ESFL |" in line]
    assert "| published only |" in shared
    assert "| 33.28 | 48.18 |" in shared
    pictures = sorted(path.name for path in Path("result/confusion").iterdir())
    assert pictures[:2] == ["table2-1-linear-probe.png", "table2-1-linear-probe.svg"]
    assert len(pictures) == 6
    with Image.open("result/confusion/table5-19-dfer-clip.png") as image:
        assert image.format == "PNG"
    assert "table5, DFER-CLIP" in Path("result/confusion/table5-19-dfer-clip.svg").read_text()
    made = report("result", out="report.md")
    assert {each["name"]: each["note"] for each in made.rows if not each["run"]} == {
        "zero-shot FaRL": "skipped: it needs FaRL's weights (--farl FILE)", "T-ESFL": "published only",
    }  # fmt: skip
    shown = json.loads(Path("result/reproduction.json").read_text())["rows"]
    for row, each in zip(shown, made.rows, strict=True):
        assert (each["uar"] and each["uar"]["mean"]) == (row["ours"] and row["ours"]["uar"]["mean"])
        assert [fold["fold"] for fold in each["by_fold"]] == (["1", "mean"] if row["runs"] else [])
    assert "last UAR" in made.path.read_text(encoding="utf-8")


def test_without_a_table_the_rows_are_listed_with_published_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce(monkeypatch)
    out = capsys.readouterr().out
    assert "tableB: Number of descriptors in a description" in out
    (farl,) = [line for line in out.splitlines() if "zero-shot FaRL" in line]
    assert farl.split()[3:] == ["23.14", "/", "31.54", "21.67", "/", "25.65", "14.18", "/", "11.78"]
    assert "(not in the paper)" in " ".join(out.split())
    reproduce(monkeypatch, "--json")
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed["tableB"]["rows"]] == ["top 2", "top 4", "top 6"]
    assert listed["tableB"]["rows"][0]["published"]["dfew"] == {"uar": 59.65, "war": 71.91}
    assert listed["table5"]["rows"][11]["published"] == {"mafw": {"uar": 33.28, "war": 48.18}}
    assert [each["in_paper"] for each in listed["table3"]["rows"]] == [True, False, True, False, *[True] * 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table9"], "There are: table1, table2, table3, table4, table5, tableA, tableB"),
        (["table2", "--rows", "line probe"], "did you mean linear probe"),
        (["table1", "--folds", "7"], "has no fold 7"),
        (["table1", "--seeds", "one"], "--seeds 'one' is not a list of numbers"),
        (["table1", "--descriptions", "v9"], "no description set 'v9'"),
        (["table1", "--preset", "papr"], "did you mean paper"),
        (["table1", "--track", "tensorbord"], "did you mean tensorboard"),
    ],
)
def test_wrong_input_is_one_error(
    words: list[str],
    message: str,
    packed: PackedClips,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reproduce(monkeypatch, *words, *quick(packed), status=2)
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
