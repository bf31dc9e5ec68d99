"""The card of a run: clips, settings, texts and figures, for each kind of classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dfer_model.config import Settings, preset, strategy
from dfer_model.data.packed import PackedClips
from dfer_model.metrics import measures
from dfer_model.reports.run_card import card, settings_in_words
from dfer_model.runs import Run
from dfer_model.training.loop import train_run
from dfer_model.training.run_writer import versions

from .. import tiny


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs that tests share."""
    return tmp_path_factory.mktemp("runs")


def trained(clips: PackedClips, runs: Path, notes: tuple[str, ...] = (), **changed: Any) -> Run:
    return train_run(replace(tiny.spec(clips, **changed), notes=notes), clips, runs, device="cpu")


def rows_of(text: str) -> dict[str, str]:
    """The first two columns of all tables."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in cells}


def written(run: Run) -> str:
    return (run.folder / "README.md").read_text()


def test_the_card_lists_clips_settings_and_texts(clips: PackedClips, runs: Path) -> None:
    note = "v1@2 was chosen with the labels of fold 1 of tiny, so it cannot be tested there"
    run = trained(clips, runs, notes=(note,), select="val", val_share=0.5, epochs=1)
    rows = rows_of(written(run))
    assert rows["clips"].startswith(f"tiny, fingerprint `{clips.fingerprint[:16]}`: 3 for training")
    assert "3 of the training folds for validation, 6 for testing" in rows["clips"]
    assert rows["fold, seed"] == "test fold 1, seed 1"
    assert rows["classifier"] == "dfer-clip"
    assert rows["description set"] == f"v1@2, sha256 `{'ab' * 8}`"
    assert rows["CLIP"].startswith(f"{tiny.NAME}, weights random, sha256 `")
    assert rows["settings"].startswith(
        "preset default, with clip=tiny-vit-for-tests, weights=random, frames=4"
    )
    assert "select=val, val\\_share=0.5" in rows["settings"]
    assert rows["epoch"].startswith("1 of 1: the epoch with the highest WAR on validation clips")
    assert rows["device, precision"].endswith(", fp32")
    assert all(f"{package} {number}" in rows["versions"] for package, number in versions().items())
    assert note in run.result["notes"]
    assert f"| note | {note} |" in written(run)
    assert "a smiling mouth and raised cheeks." in rows["happiness"]


def test_all_selections_of_the_epoch_are_in_one_table(clips: PackedClips, runs: Path) -> None:
    run = trained(clips, runs, select="test-best")
    better, last = (measures([0, 1, 1, 2], answers, tiny.CLASSES) for answers in ([0, 1, 1, 0], [0, 1, 0, 0]))
    found = {"test-best": better.as_dict() | {"calibration_error": 12.5}, "last": last.as_dict()}
    text = card(run, run.result | {"measures": found, "epochs": {"test-best": 1, "last": 2}})
    # Recalls 1, 1, 0 and 1, 1/2, 0; F1 2/3, 1, 0 and 1/2, 2/3, 0.
    assert "| test-best (1) | 66.67 | 75.00 | 55.56 | 12.50 |" in text
    assert "| last (2) | 50.00 | 50.00 | 38.89 |  |" in text
    assert "top-2" not in text  # recorded by neither
    found["last"]["top2_accuracy"] = 87.5
    text = card(run, run.result | {"measures": found, "epochs": {"test-best": 1, "last": 2}})
    assert "| macro-F1 (%) | calibration error (%) | top-2 accuracy (%) |" in text
    assert "| last (2) | 50.00 | 50.00 | 38.89 |  | 87.50 |" in text
    assert "changes UAR by +16.67 points and WAR by +25.00 points against the last epoch" in text
    assert "**on the test fold itself**" in rows_of(text)["epoch"]
    assert "Selecting the epoch" not in written(trained(clips, runs, epochs=1))


def test_shots_and_a_held_out_class_are_listed(clips: PackedClips, runs: Path) -> None:
    changed = {"shots": 1, "held_out": "fear", "context_kind": "unified", "epochs": 1}
    rows = rows_of(written(trained(clips, runs, **changed)))
    assert "2 for training, at most 1 of each class, none of fear, 6 for testing" in rows["clips"]


def test_an_untrained_classifier_is_marked(clips: PackedClips, runs: Path) -> None:
    run = trained(clips, runs, **strategy("zero-shot"))
    rows = rows_of(written(run))
    assert rows["epoch"] == "none: nothing was trained"
    assert rows["settings"].startswith("preset default, strategy zero-shot, with clip=")


def test_a_linear_head_has_no_texts(clips: PackedClips, runs: Path) -> None:
    text = written(trained(clips, runs, **strategy("linear-probe"), epochs=1))
    rows = rows_of(text)
    assert rows["classifier"] == "linear"
    assert "strategy linear-probe" in rows["settings"]
    assert "description set" not in rows
    for absent in (
        "v1@2 on",
        "Class texts",
        "a smiling mouth",
        "one description set is better",
        "text tower",
    ):
        assert absent not in text
    assert "# linear on tiny, fold 1, seed 1" in text


def test_a_network_has_no_clip(clips: PackedClips, runs: Path) -> None:
    run = trained(clips, runs, epochs=1)
    settings = run.settings.model_dump(mode="json") | {"classifier": "c3d"}
    network = replace(run, config=run.config | {"settings": settings})
    text = card(network, run.result)
    rows = rows_of(text)
    assert rows["initialised from"].startswith("weights random, sha256 `")
    assert "CLIP" not in rows
    assert yaml.safe_load(text.split("---\n")[1])["tags"] == ["c3d", "facial-expression-recognition"]
    assert "The network c3d" in text


def test_means_are_over_classes_with_test_clips(clips: PackedClips, runs: Path) -> None:
    run = trained(clips, runs, epochs=1)
    assert "over the classes that have test clips" not in written(run)
    measured = run.measures("last").as_dict()
    measured["recalls"]["fear"] = None
    text = card(run, run.result | {"measures": {"last": measured}})
    assert "UAR and macro-F1 are over the classes that have test clips." in text


@pytest.mark.parametrize(
    ("settings", "dataset", "message"),
    [
        (Settings(), "mafw", "preset default"),
        (preset("paper", "dfew"), "dfew", "preset paper"),
        (preset("paper", "dfew"), "mine", r"preset paper, with brightness\_jitter=0.5"),
        (preset("paper").model_copy(update={"seed": 3, "frames": 8}), "mafw", "preset paper, with frames=8"),
        (preset("paper").model_copy(update=dict(strategy("coop"))), "mafw", "preset paper, strategy coop"),
        (preset("demo").model_copy(update={"lr_image": 1e-6}), "", r"preset demo, with lr\_image=1e-06"),
    ],
)
def test_settings_are_described_by_preset_and_differences(
    settings: Settings, dataset: str, message: str
) -> None:
    assert settings_in_words(settings, dataset) == message


def test_names_are_data(clips: PackedClips, tmp_path: Path) -> None:
    named = replace(tiny.spec(clips, epochs=1), texts=replace(tiny.TEXTS, name="[x](http://y) | <b>"))
    text = written(train_run(named, clips, tmp_path, device="cpu"))
    assert r"# \[x\](http://y) \| \<b\> on tiny" in text
