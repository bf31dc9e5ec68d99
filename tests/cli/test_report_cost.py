"""`report` on costs of models and on features of clips: stored figures, --latency, --features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import dfer_prompts
from dfer_model.data.packed import PackedClips
from dfer_prompts import InputError, Workspace, report

from ..model import tiny
from ..stored_comparisons import store
from .report_files import csv_rows, table_rows

COST = {
    "parameters": 151_300_000,
    "trained_parameters": 90_520_000,
    "flops_per_clip": 141_160_000_000,
    "frames": 16,
    "image_size": 224,
    "views": 1,
    "texts_included": False,
}
LATENCY = {"median_ms": 12.346, "passes": 50, "device": "NVIDIA H200", "threads": 16, "precision": "bf16"}
COSTS = "**Trained and all parameters"
HEADS = ["trained parameters", "parameters", "FLOPs per clip", "latency in ms"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with packed clips and the runs of two seeds."""
    folder = tmp_path_factory.mktemp("trained")
    clips = tiny.pack(folder / "packed", per_class=6)
    for seed in (1, 2):
        dfer_prompts.train(
            descriptions="v1@2",
            dataset=clips,
            clip=tiny.register(),
            weights="random",
            seed=seed,
            overrides=["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0"],
            workspace=Workspace(folder),
            device="cpu",
        )
    return folder


@pytest.fixture
def run(trained: Path, isolated: Path) -> Path:
    """A copy of the first run, which a test may change."""
    original = next((trained / "runs").glob("*-seed1-*"))
    return Path(shutil.copytree(original, isolated / "runs" / original.name))


def text(of: Path, name: str = "report.md", **options: Any) -> str:
    return report(of, out=name, device="cpu", **options).path.read_text(encoding="utf-8")


def change(path: Path, **keys: Any) -> None:
    """Change keys of a result.json; it is left without digests, as those of version 0.1.0."""
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    path.write_text(json.dumps({**content, **keys}))


def test_a_run_records_its_cost_and_a_report_shows_it(run: Path) -> None:
    cost = json.loads((run / "result.json").read_text())["cost"]
    assert cost["trained_parameters"] < cost["parameters"]
    markdown = text(run)
    (header, row) = table_rows(markdown, COSTS)
    assert header == ["run", "trained (M)", "parameters (M)", "GFLOPs"]
    assert row == [
        run.name,
        *(
            f"{value:.3g}"
            for value in (
                cost["trained_parameters"] / 1e6,
                cost["parameters"] / 1e6,
                cost["flops_per_clip"] / 1e9,
            )
        ),
    ]
    assert "A clip is 2 frames of 32 x 32 pixels." in markdown
    assert "Class texts are encoded once, not for each clip, and are not included." in markdown
    assert "report --latency measures it" in markdown
    assert not (run / "cost.json").exists()


def test_latency_is_measured_on_request_and_kept(
    run: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command("report", run.name, "--latency", "--device", "cpu", "--out", "a.md", "--json")
    ((printed),) = json.loads(capsys.readouterr().out)["costs"]
    latency = printed["cost"]["latency"]
    assert printed["name"] == run.name
    assert latency["median_ms"] > 0
    assert latency["passes"] >= 5
    assert latency["device"]
    assert json.loads((run / "cost.json").read_text()) == printed["cost"]
    for made in (Path("a.md").read_text(), text(run, "again.md")):
        assert table_rows(made, COSTS)[1][-1] == (
            f"{latency['median_ms']:.2f}" if latency["median_ms"] >= 1 else f"{latency['median_ms']:.3g}"
        )
        assert f"on {latency['device']}, {latency['threads']} CPU thread" in made
        assert f"median of {latency['passes']} forward passes" in made


def test_a_run_without_recorded_cost_is_counted_with_its_latency(run: Path) -> None:
    recorded = json.loads((run / "result.json").read_text())["cost"]
    change(run / "result.json", cost=None)
    markdown = text(run)
    assert "Trained and all parameters" not in markdown
    sentence = f"Parameters and FLOPs of {run.name} are unknown: they are not recorded; report --latency"
    assert sentence in markdown.replace("\\", "")
    (counted,) = report(run, out="a.md", latency=True, device="cpu").costs
    assert counted.cost is not None
    assert {**counted.cost.as_dict(), "latency": None} == recorded


def test_without_weights_the_latency_is_empty_and_a_sentence_says_why(
    run: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "model.safetensors").unlink()
    command("report", run.name, "--latency", "--device", "cpu", "--out", "a.md")
    assert "model.safetensors is missing" in capsys.readouterr().err
    markdown = Path("a.md").read_text()
    assert len(table_rows(markdown, COSTS)[0]) == 4
    assert f"- No latency of {run.name}: " in markdown.replace("\\", "")


def comparison(workspace: Path, **options: Any) -> Path:
    """A comparison of two sets; the runs of the first have a cost with a latency, of the second without."""
    folder = store(workspace, ["one", "two"], folds=(1,), class_names=("glad", "sad"), **options)
    record = json.loads((folder / "comparison.json").read_text())
    for place, name in enumerate(record["runs"]):
        cost = {**COST, "latency": LATENCY if place % 2 == 0 else None}
        change(workspace / "runs" / name / "result.json", cost=cost)
    return folder


def test_a_comparison_has_a_row_for_each_set_in_every_format(isolated: Path) -> None:
    folder = comparison(isolated)
    markdown = text(folder)
    assert table_rows(markdown, COSTS) == [
        ["set", "trained (M)", "parameters (M)", "GFLOPs", "latency (ms)"],
        ["one", "90.52", "151.30", "141.16", "12.35"],
        ["two", "90.52", "151.30", "141.16", "–"],
    ]
    assert (
        "**Trained and all parameters in millions, GFLOPs and latency per clip, on NVIDIA H200, 16 CPU"
        in (markdown)
    )
    latex = text(folder, "report.tex")
    assert r"one & 90.52 & 151.30 & 141.16 & 12.35 \\" in latex[latex.index(r"\label{tab:cost}") :]
    rows = csv_rows(report(folder, out="report.csv").path)
    figures = {(row["measure"], row["set"]): [row[head] for head in HEADS] for row in rows}
    assert list(rows[0])[-4:] == HEADS
    assert figures["trained", "one"] == ["90520000", "151300000", "141160000000", "12.346"]
    assert figures["trained", "two"] == ["90520000", "151300000", "141160000000", ""]
    assert figures["zero-shot", "one"] == [""] * 4  # nothing is trained for it
    assert ">141.16</td>" in text(folder, "report.html")


def test_a_compared_ensemble_costs_the_sum_of_its_runs(trained: Path, isolated: Path) -> None:
    shutil.copytree(trained / "runs", isolated / "runs")
    first, second = sorted(path.name for path in (isolated / "runs").iterdir())
    dfer_prompts.compare(f"{first}+{second}", first, device="cpu")
    ensemble, alone = report(out="a.md").costs
    assert (ensemble.name, alone.name) == (f"{first}+{second}", first)
    assert alone.cost is not None
    assert ensemble.cost is not None
    assert ensemble.cost.flops_per_clip == 2 * alone.cost.flops_per_clip
    assert ensemble.cost.trained_parameters == 2 * alone.cost.trained_parameters


def test_sets_whose_runs_are_gone_have_no_figures(isolated: Path) -> None:
    folder = comparison(isolated)
    gone = json.loads((folder / "comparison.json").read_text())["runs"][1::2]
    for name in gone:
        shutil.rmtree(isolated / "runs" / name)
    markdown = text(folder)
    assert table_rows(markdown, COSTS)[2] == ["two", "–", "–", "–", "–"]
    assert "Parameters and FLOPs of two are unknown: the runs no longer exist." in markdown


def test_features_are_drawn_with_a_mark_for_each_test_clip(run: Path, trained: Path) -> None:
    page = text(run, "a.html", features=True)
    start = page.index("<svg", page.index('<section id="features"'))
    svg = ElementTree.fromstring(page[start : page.index("</svg>", start) + 6])
    labels = PackedClips.open(trained / "packed").labels
    marks = sum(each.tag.endswith("use") for each in svg.iter())
    assert marks == len(labels) // 2 + len(tiny.CLASSES)  # half the clips are tested; the legend
    shown = ["".join(each.itertext()) for each in svg.iter() if each.tag.endswith("text")]
    assert shown == [f"{name} (3)" for name in tiny.CLASSES]
    assert "t-SNE of the video features of 9 clips of test fold 1, by true class" in page
    assert text(run, "b.html", features=True) == page


@pytest.mark.parametrize("wrong", ["format", "comparison", "clips", "missing"])
def test_features_that_cannot_be_drawn_are_refused(
    wrong: str, run: Path, isolated: Path, tmp_path: Path
) -> None:
    of, out = run, "page.html"
    if wrong == "format":
        out, message = "page.md", "markdown reports have none"
    elif wrong == "comparison":
        of, message = store(isolated, ["one", "two"], folds=(1,), seeds=(1,)), "is a comparison"
    else:
        config = run / "config.yaml"
        place = tmp_path / "packed"
        if wrong == "clips":
            tiny.pack(place)
        lines = config.read_text().splitlines()
        lines = [f"  path: {place}" if line.startswith("  path: ") else line for line in lines]
        config.write_text("\n".join(lines) + "\n")
        message = "holds other clips" if wrong == "clips" else "no longer in"
    with pytest.raises(InputError, match=message):
        report(of, out=out, features=True, device="cpu")
    assert not Path(out).exists()


def test_an_unknown_device_is_refused(run: Path) -> None:
    with pytest.raises(InputError, match="no device 'abacus'"):
        report(run, latency=True, device="abacus")
