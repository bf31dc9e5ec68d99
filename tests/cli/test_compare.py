"""`compare` on the command line: output, stored files, reuse of runs, and errors."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import DescriptionStore, Workspace, control_set, load, report
from dfer_prompts.cli import main
from dfer_prompts.cli.options import numbers
from dfer_prompts.description_set import Seen
from dfer_prompts.errors import InputError

from ..model import tiny
from ..model.training.test_loggers import events as curves


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def compare(packed: PackedClips, monkeypatch: pytest.MonkeyPatch, *words: str, status: int = 0) -> None:
    quick = ["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0", "weights=random"]
    command = ["dfer-prompts", "compare", *words, "--dataset", str(packed.path), "--clip", tiny.register()]
    for setting in quick:
        command += ["--set", setting]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == status


def test_json_equals_the_stored_record_and_finished_runs_are_reused(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("v1@2", "v1@4", "--controls", "--folds", "1", "--seeds", "1", "--json")
    compare(packed, monkeypatch, *words)
    result = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in result["sets"]] == [
        "v1@2",
        "v1@4",
        "control:class-name",
        "control:swapped",
        "control:scrambled",
    ]
    assert len(result["runs"]) == 5
    assert json.loads((Path(result["folder"]) / "comparison.json").read_text()) == result
    losses = {run: json.loads((Path("runs") / run / "metrics.jsonl").read_text()) for run in result["runs"]}
    for run, row in losses.items():  # TensorBoard follows each where it is installed, under its id
        assert curves(Path("runs") / run)["loss"] == pytest.approx({1: row["loss"]})
    trained = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    compare(packed, monkeypatch, *words)
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")} == trained
    assert json.loads(capsys.readouterr().out) == result


def test_controls_are_made_from_the_largest_set(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(packed, monkeypatch, "v1@1", "v1@3", "--controls", "--measure", "zero-shot", "--json")
    texts = {each["name"]: each["texts"] for each in json.loads(capsys.readouterr().out)["texts"]}
    three = {tuple(members) for members in texts["v1@3"]}
    swapped = {tuple(members) for members in texts["control:swapped"]}
    assert all(text.count(",") == 2 for (text,) in swapped)
    assert three & swapped  # whole descriptions of the set, on other classes
    assert all(own != other for own, other in zip(texts["v1@3"], texts["control:swapped"], strict=True))


def test_controls_by_name_and_stored_control_sets(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = control_set("scrambled", load("v1@2"), seed=7)
    DescriptionStore(Workspace.find(None)).save(control, "mixed-up")
    words = ("v1@2", "mixed-up", "--control", "random-words", "--control", "shared-random")
    words = (*words, "--measure", "zero-shot")
    compare(packed, monkeypatch, *words)
    out = capsys.readouterr().out
    assert "Made of v1@2 with seed 7: mixed-up." in out
    assert "Made of v1@2 with seed 1: control:random-words, control:shared-random." in out
    compare(packed, monkeypatch, *words, "--json")
    result = json.loads(capsys.readouterr().out)
    assert result["controls"]["mixed-up"] == {"made_of": ["v1@2"], "seed": 7}
    figures = {each["name"]: each for each in result["sets"]}
    assert [name for name, each in figures.items() if each["is_control"]] == [
        "mixed-up", "control:random-words", "control:shared-random",
    ]  # fmt: skip
    # One text for all three classes is a tie: every clip gets one and the same answer.
    assert figures["control:shared-random"]["zero_shot_uar"]["mean"] == pytest.approx(100 / 3)


def test_a_set_is_not_tested_on_folds_in_its_provenance(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of = load("v1")
    seen = (Seen(dataset="tiny", fingerprint="of another packing", folds=(2,)),)
    chosen = replace(of, manifest=of.manifest.model_copy(update={"seen": seen, "files": {}}))
    DescriptionStore(Workspace.find(None)).save(chosen, "chosen")
    compare(packed, monkeypatch, "v1@2", "chosen@2", status=2)
    assert "chosen@2 was chosen with the labels of fold 2 of tiny" in capsys.readouterr().err
    assert not Path("runs").exists()
    compare(packed, monkeypatch, "v1@2", "chosen@2", "--folds", "1", "--measure", "zero-shot")


def test_printed_tables_verdicts_and_caveats(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(packed, monkeypatch, "v1@2", "v1@4", "--folds", "1", "--seeds", "1", "--track", "none")
    out, err = capsys.readouterr()
    assert list(Path("runs").glob("*/tensorboard")) == []
    assert "epoch: the last" in out
    assert "v1@4, trained: " in out
    assert "One seed" in out
    assert "Stored in" in err
    # The command in the report repeats the comparison: same folder, and no run is trained again.
    (folder,) = Path("comparisons").iterdir()
    page = report(folder, out="report.md").path.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ *(dfer-prompts compare .+)$", page, re.MULTILINE)
    trained = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert list(Path("comparisons").iterdir()) == [folder]
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")} == trained


def test_few_shot_figures_curves_and_number_of_trainings(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["v1@2", "v1@4", "--measure", "few-shot", "--shots", "0,1", "--folds", "1", "--seeds", "1"]
    compare(packed, monkeypatch, *words, "--json")
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert "few-shot: 2 trainings (2 sets x 1 fold x 1 seed x 1 number of shots)" in err
    assert result["measures"] == ["few-shot"]
    (first, second) = result["sets"]
    assert list(first) == [
        "name", "is_control", "few_shot_uar", "few_shot_war", "few_shot_curve_uar", "few_shot_curve_war",
    ]  # fmt: skip
    assert list(second["few_shot_curve_uar"]) == ["0", "1"]
    assert first["few_shot_curve_uar"]["1"] == first["few_shot_uar"]
    assert result["figures"] == [f"few-shot{each}" for each in (".png", ".svg", "-curve.png", "-curve.svg")]
    for name in result["figures"]:
        assert (Path(result["folder"]) / name).stat().st_size > 1000
    assert "v1@4" in (Path(result["folder"]) / "few-shot-curve.svg").read_text()
    # The same clips for both sets, and fewer than all.
    stored = [json.loads(path.read_text())["clips"]["train"] for path in Path("runs").glob("*/result.json")]
    assert stored == [3] * 2
    compare(packed, monkeypatch, *words)
    out, err = capsys.readouterr()
    assert "2 of them finished" in err
    assert "few-shot: UAR by training clips of each class; 0 is untrained" in out


def test_zero_shot_trains_nothing(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(packed, monkeypatch, "v1@2", "v1@4", "--measure", "zero-shot", "--json")
    result = json.loads(capsys.readouterr().out)
    assert (result["runs"], result["seeds"], result["measures"]) == ([], [], ["zero-shot"])
    assert not Path("runs").exists()


def test_transfer_to_other_classes_and_last_epoch_beside_the_selected(
    packed: PackedClips,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    target = tiny.pack(tmp_path / "target", classes=("fear", "contempt"), name="target", per_class=2)
    words = [
        "v1@2",
        "v1@4",
        "--folds",
        "1",
        "--seeds",
        "1",
        "--measure",
        "transfer",
        "--measure",
        "supervised",
    ]
    words += ["--transfer-to", str(target.path), "--select", "test-best"]
    compare(packed, monkeypatch, *words, "--json")
    result = json.loads(capsys.readouterr().out)
    assert result["measures"] == ["zero-shot", "trained", "transfer"]
    row = result["sets"][0]
    assert {"trained_uar", "trained_last_uar", "transfer_uar", "transfer_new_uar"} <= set(row)
    assert list(row["transfer_recalls"]) == ["fear", "contempt"]
    assert row["transfer_new_uar"] == {**row["transfer_recalls"]["contempt"]}
    assert result["transfer_to"] == "target"
    strange = tiny.pack(tmp_path / "strange", classes=("fear", "hope"), name="strange", per_class=2)
    words[-3] = str(strange.path)
    compare(packed, monkeypatch, *words, status=2)
    assert "hope" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v1@2"], "one set alone cannot be compared"),
        (["v1@2", "v1@4", "--measure", "few-shots"], "did you mean few-shot"),
        (["v1@2", "v1@4", "--measure", "transfer"], "--measure transfer requires --transfer-to"),
        (["v1@2", "v1@4", "--transfer-to", "x"], "Add --measure transfer"),
        (["v1@2", "v1@4", "--shots", "1"], "Add --measure few-shot"),
        (["v1@2", "v1@4", "--measure", "few-shot", "--shots", "0"], "at least one number must be above 0"),
        (
            ["v1@2", "v1@4", "--measure", "few-shot", "--shots", "one"],
            "--shots 'one' is not a list of numbers",
        ),
        (
            ["v1@2", "v1@4", "--measure", "held-out-class", "--strategy", "linear-probe"],
            "a linear classifier reads no texts",
        ),
        (["v1@2", "v1@2"], "given twice"),
        (["v1@2", "--control", "swaped"], "did you mean swapped"),
        (["v1@2", "v1@4", "--folds", "7"], "has no fold 7"),
        (["v1@2", "v1@4", "--folds", "one"], "--folds 'one' is not a list of numbers"),
        (["v1@2", "v9"], "no description set 'v9'"),
        (["v1@2", "v1@4", "--track", "tensorbord"], "did you mean tensorboard"),
        (["v1@2", "v1@4", "--screen", "--track", "tensorboard"], "has no runs to log"),
    ],
)
def test_wrong_input_is_one_error(
    words: list[str],
    message: str,
    packed: PackedClips,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare(packed, monkeypatch, *words, status=2)
    out, err = capsys.readouterr()
    assert (message in err, out) == (True, "")


def test_transfer_to_the_training_clips_is_refused(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("v1@2", "v1@4", "--measure", "transfer", "--transfer-to", str(packed.path))
    compare(packed, monkeypatch, *words, status=2)
    assert "these are the training clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"), [("1-3", (1, 2, 3)), ("2", (2,)), ("1,3-4", (1, 3, 4)), (" 5 , 6", (5, 6))]
)
def test_lists_of_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text, "--folds") == expected


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "1,1", "1;2", "-1", "0", "1-999999999"])
def test_invalid_lists_of_numbers(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        numbers(text, "--seeds")


def test_numbers_below_the_minimum_are_refused() -> None:
    with pytest.raises(InputError, match="--seeds '0-2' has a number below 1"):
        numbers("0-2", "--seeds")
    assert numbers("0-2", "--shots", least=0) == (0, 1, 2)
