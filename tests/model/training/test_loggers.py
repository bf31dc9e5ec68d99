"""Trackers log what the files of the run contain, and do not change the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.runs import Run
from dfer_model.training.loggers import Tracking, chosen_trackers, wandb_options
from dfer_model.training.loop import train_run

from .. import tiny


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def events(folder: Path) -> dict[str, dict[int, float]]:
    """The curves as TensorBoard itself reads them: value by step, by name."""
    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {name: {each.step: each.value for each in read.Scalars(name)} for name in read.Tags()["scalars"]}


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def test_tensorboard_reads_back_what_the_run_recorded(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=3, select="test-best", milestones=(2,))
    run = train_run(spec, clips, tmp_path, device="cpu", tracking=Tracking(["tensorboard"]))
    curves = events(run.folder)
    assert curves["loss"] == pytest.approx({row["epoch"]: row["loss"] for row in rows(run)})
    for part in ("image", "temporal", "context"):
        assert curves[f"lr/{part}"] == pytest.approx({row["epoch"]: row["lr"][part] for row in rows(run)})
    assert curves["test/UAR"] == pytest.approx({row["epoch"]: row["test"]["uar"] for row in rows(run)})
    result = run.result
    assert curves["last/WAR"] == pytest.approx({3: result["measures"]["last"]["war"]})
    assert curves["test-best/UAR"] == pytest.approx(
        {result["epochs"]["test-best"]: result["measures"]["test-best"]["uar"]}
    )
    (settings,) = (run.folder / "tensorboard").glob("*/hparams.yml")
    assert f"run: {run.id}\n" in settings.read_text()
    assert "milestones: '[2]'\n" in settings.read_text()


def test_tracking_does_not_change_id_or_result(clips: PackedClips, tmp_path: Path) -> None:
    plain = train_run(tiny.spec(clips, epochs=2), clips, tmp_path / "plain", device="cpu")
    tracking = Tracking(["tensorboard"])
    followed = train_run(
        tiny.spec(clips, epochs=2), clips, tmp_path / "followed", device="cpu", tracking=tracking
    )
    assert followed.id == plain.id
    for name in ("model.safetensors", "predictions.parquet"):
        assert (followed.folder / name).read_bytes() == (plain.folder / name).read_bytes()
    assert [row["loss"] for row in rows(followed)] == [row["loss"] for row in rows(plain)]
    assert not (plain.folder / "tensorboard").exists()


def test_a_resumed_training_continues_its_log(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=3)

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="Stopped"):
        train_run(spec, clips, tmp_path, report=stop, device="cpu", tracking=Tracking(["tensorboard"]))
    run = train_run(spec, clips, tmp_path, device="cpu", tracking=Tracking(["tensorboard"]))
    read = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    # Files of one second come in any order.
    assert sorted(each.step for each in read.Scalars("loss")) == [1, 2, 3]
    assert len(list((run.folder / "tensorboard").glob("*/hparams.yml"))) == 1


def test_a_failing_tracker_is_dropped(clips: PackedClips, tmp_path: Path) -> None:
    spec, messages = tiny.spec(clips, epochs=1), list[str]()
    spec.folder(tmp_path).mkdir()
    (spec.folder(tmp_path) / "tensorboard").write_text("a file in the place of its folder")
    run = train_run(spec, clips, tmp_path, device="cpu", tracking=Tracking(["tensorboard"], messages.append))
    assert run.result["epochs"] == {"last": 1}
    assert len(messages) == 1
    assert messages[0].startswith("tensorboard failed and no longer logs this training: ")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["tensorbord"], "no tracker 'tensorbord'; did you mean tensorboard?\nThere are: aim, "),
        (["tensorboard", "none"], "--track none excludes other trackers\n"),
    ],
)
def test_an_unknown_tracker_is_an_error(given: list[str], says: str) -> None:
    with pytest.raises(InputError) as refused:
        chosen_trackers(given)
    assert str(refused.value).startswith(says)
    assert str(refused.value).count("\n") == 1


def test_a_missing_tracker_is_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # clearml is in none of this package's extras.
    with pytest.raises(InputError) as refused:
        chosen_trackers(["clearml"])
    assert str(refused.value) == (
        "the tracker clearml is not installed\nInstall it (pip install clearml), or give --track none"
    )


def test_tensorboard_is_the_default_and_none_is_none() -> None:
    assert chosen_trackers(None) == ["tensorboard"]
    assert chosen_trackers(["none"]) == []
    assert chosen_trackers(["tensorboard", "tensorboard"]) == ["tensorboard"]


@pytest.mark.parametrize("folder", ["wandb", ".wandb"])
def test_a_settings_file_of_the_folder_cannot_send_the_key_of_wandb_elsewhere(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    assert "base_url" not in wandb_options()["settings"]  # then it is the user's own settings that count
    (isolated / folder).mkdir()
    (isolated / folder / "settings").write_text("[default]\nbase_url = http://elsewhere.invalid\n")
    assert wandb_options()["settings"]["base_url"] == "https://api.wandb.ai"
    monkeypatch.setenv("WANDB_BASE_URL", "https://own.invalid")
    assert wandb_options()["settings"]["base_url"] == "https://own.invalid"


def test_wandb_without_a_key_keeps_the_run_offline(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    reports: list[str] = []
    run = train_run(
        tiny.spec(clips, epochs=1),
        clips,
        tmp_path,
        device="cpu",
        tracking=Tracking(["wandb"], reports.append),
    )
    assert reports == []
    (path,) = (run.folder / "wandb").glob("offline-run-*/run-*.wandb")
    assert run.id.encode() in path.read_bytes()
