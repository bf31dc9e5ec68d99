"""`calibrate` from the command line: what it prints, keeps and refuses, and what later commands then say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.evaluation.calibration import fit_temperature
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from ..model import tiny
from ..model.evaluation.test_classify import encode
from .test_train import Terminal


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=8)


@pytest.fixture(scope="module")
def trained(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that kept half of its training clips for validation, and one that kept none."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    for select in ("val", "last"):
        spec = tiny.spec(clips, select=select, val_share=0.5, epochs=1, lr_image=1e-3)
        train_run(spec, clips, runs / select, device="cpu")
    return runs


@pytest.fixture
def folders(trained: Path, isolated: Path) -> dict[str, Path]:
    shutil.copytree(trained, isolated / "copies")
    return {name: next((isolated / "copies" / name).iterdir()) for name in ("val", "last")}


def test_a_temperature_is_fitted_stored_and_reported(
    run: Terminal, folders: dict[str, Path], clips: PackedClips, isolated: Path
) -> None:
    folder, out = folders["val"], isolated / "all.parquet"
    known = Run.open(folder)
    before, card = known.measures("val"), (folder / "README.md").read_text()
    run("evaluate", folder, "--all", "--out", out, "--device", "cpu")
    printed, err = run("calibrate", folder, "--device", "cpu", "--json")
    output = json.loads(printed)
    stored = json.loads((folder / "calibration.json").read_text())
    assert stored["temperature"] == output["temperature"]
    # What `evaluate` said of these clips makes the same temperature.
    import pandas

    table = pandas.read_parquet(out).set_index("clip_id").loc[stored["clip_ids"]]
    expected = fit_temperature(table["label"], np.stack(table["logits"]))
    assert output["temperature"] == pytest.approx(expected, rel=1e-4)
    assert output["fitted"]["before"]["clips"] == len(stored["clip_ids"]) == 6
    assert not set(stored["clip_ids"]) & set(known.predictions("val").clip_ids)
    assert output["judged"]["before"]["calibration_error"] == pytest.approx(before.calibration_error)
    assert "epoch was selected on these clips" in err
    assert "6 clips are few" in err
    fell = output["judged"]["after"]["likelihood_loss"] < output["judged"]["before"]["likelihood_loss"]
    assert ("does not reduce the log-loss" in err) != fell
    assert ("does not reduce the log-loss" in " ".join(output["notes"])) != fell
    for name in output["pictures"]:
        assert (folder / name).stat().st_size > 1000

    printed, err = run("evaluate", folder, "--device", "cpu", "--json")
    measured = json.loads(printed)
    assert measured["uar"] == pytest.approx(before.uar)
    assert measured["calibration_error"] == pytest.approx(before.calibration_error)
    assert measured["calibrated"] == {
        "temperature": output["temperature"],
        "calibration_error": pytest.approx(output["judged"]["after"]["calibration_error"], abs=1e-3),
    }
    _, err = run("evaluate", folder, "--device", "cpu")
    assert "predictions do not change" in err
    video = encode(isolated / "video.mkv", frames=5)
    printed, err = run("predict", folder, video, "--device", "cpu", "--json")
    assert json.loads(printed)["temperature"] == output["temperature"]
    assert "Probabilities are calibrated" in err
    printed, _ = run("calibrate", folder, "--device", "cpu")
    assert f"temperature {output['temperature']:.3g}" in printed
    added = set((folder / "README.md").read_text().splitlines()) - set(card.splitlines())
    (row,) = added  # though it was calibrated twice
    assert f"logits divided by {output['temperature']:.3g}, fitted on 6 clips of the training folds" in row
    assert (folder / "README.md").read_text() == card.replace("| epoch |", f"{row}\n| epoch |", 1)


def test_a_run_without_own_clips_is_an_error_with_advice(run: Terminal, folders: dict[str, Path]) -> None:
    _, err = run("calibrate", folders["last"], "--device", "cpu", status=2)
    assert "--select val" in err
    assert not (folders["last"] / "calibration.json").exists()


def test_the_test_fold_is_never_fitted_on(
    run: Terminal, folders: dict[str, Path], clips: PackedClips, isolated: Path
) -> None:
    for folder in folders.values():
        _, err = run("calibrate", folder, "--dataset", clips.path, "--fold", 1, status=2)
        assert "it is its test fold" in err
        _, err = run("calibrate", folder, "--dataset", clips.path, "--fold", 2, status=2)
        assert "it was used to train it" in err
    again = tiny.pack(isolated / "again", per_class=9)  # other clips, of which some are the same
    _, err = run("calibrate", folders["last"], "--dataset", again.path, status=2)
    assert "12 of these clips (such as" in err


def test_clips_of_another_dataset_serve(run: Terminal, folders: dict[str, Path], isolated: Path) -> None:
    other = tiny.pack(isolated / "other", per_class=4, name="another")
    printed, _ = run(
        "calibrate", folders["last"], "--dataset", other.path, "--fold", 2, "--device", "cpu", "--json"
    )
    output = json.loads(printed)
    assert output["fitted"]["clips_are"] == "another dataset, another, fold 2"
    assert output["fitted"]["before"]["clips"] == 6
    assert output["judged"]["before"]["clips"] == 12
