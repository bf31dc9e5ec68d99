"""`train`, `evaluate` and `predict` on the command line: output, files and errors."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import DescriptionStore, Workspace, load
from dfer_prompts.cli import main
from dfer_prompts.description_set import Seen

from ..model import tiny
from ..model.evaluation.test_classify import encode


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


class Terminal:
    """Runs commands in the current folder as the workspace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setenv("COLUMNS", "300")

    def __call__(self, *words: object, status: int = 0) -> tuple[str, str]:
        """Standard output and standard error of a command that ends with `status`."""
        self.monkeypatch.setattr(sys, "argv", ["dfer-prompts", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        assert (ended.value.code or 0) == status, err
        assert "Traceback" not in err
        return out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


SMALL = ["frames=4", "contexts=2", "batch_size=4", "workers=0"]


def train_words(packed: PackedClips) -> list[object]:
    words: list[object] = ["train", "--descriptions", "v1@2", "--dataset", packed.path, "--device", "cpu"]
    words += ["--clip", tiny.register(), "--weights", "random", "--epochs", "2"]
    for setting in SMALL:
        words += ["--set", setting]
    return words


@pytest.fixture(scope="module")
def finished(packed: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished run, made by the command."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["dfer-prompts", *map(str, train_words(packed))])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder


@pytest.fixture
def workspace(finished: Path, isolated: Path) -> Path:
    shutil.copytree(finished / "runs", isolated / "runs")
    return isolated


def only_run(workspace: Path) -> Path:
    (folder,) = (workspace / "runs").iterdir()
    return folder


# train


def test_train_prints_measures_and_names_its_files(
    run: Terminal, packed: PackedClips, isolated: Path
) -> None:
    out, err = run(*train_words(packed))
    folder = only_run(isolated)
    assert folder.name.startswith("v1@2-fold1-seed1-")
    result = json.loads((folder / "result.json").read_text())["measures"]["last"]
    assert "the last epoch (2 of 2)" in " ".join(out.split())
    cells = [line.replace("│", " ").split() for line in out.splitlines()]
    assert ["UAR", "6", f"{result['uar']:.2f}"] in cells
    assert ["WAR", "6", f"{result['war']:.2f}"] in cells
    assert ["fear", "2", f"{result['recalls']['fear']:.2f}"] in cells
    assert str(folder) in err
    texts = json.loads((folder / "texts.json").read_text())
    assert texts["texts"]["happiness"] == ["a smiling mouth and raised cheeks."]


def test_tensorboard_logs_unless_disabled(run: Terminal, packed: PackedClips, isolated: Path) -> None:
    run(*train_words(packed), "--epochs", "1", "--track", "none")
    assert not list(isolated.glob("runs/*/tensorboard"))
    shutil.rmtree(isolated / "runs")
    out, _ = run(*train_words(packed), "--epochs", "1", "--json")
    assert json.loads(out)["run"] == only_run(isolated).name
    assert list(isolated.glob("runs/*/tensorboard/events.out.tfevents.*"))


def test_a_finished_run_is_reused(run: Terminal, packed: PackedClips, workspace: Path) -> None:
    before = (only_run(workspace) / "model.safetensors").stat().st_mtime_ns
    out, _ = run(*train_words(packed), "--json")
    output = json.loads(out)
    assert output["run"] == only_run(workspace).name
    assert output["measures"]["last"]["clips"] == 6
    assert (only_run(workspace) / "model.safetensors").stat().st_mtime_ns == before


def test_own_class_names_by_a_class_set(run: Terminal, isolated: Path) -> None:
    clips = tiny.pack(isolated / "packed", classes=("joy", "gloom"))
    Path("own.yaml").write_text(
        "name: own\nclasses:\n"
        "  - {name: happiness, words: joy, aliases: [joy]}\n"
        "  - {name: sadness, words: gloom, aliases: [gloom]}\n"
    )
    words = [*train_words(clips), "--epochs", "1"]
    _, err = run(*words, status=2)
    assert "gloom" in err
    run(*words, "--classes", "own.yaml")
    folder = only_run(isolated)
    assert json.loads((folder / "classes.json").read_text()) == ["joy", "gloom"]
    assert json.loads((folder / "texts.json").read_text())["texts"]["gloom"] == [
        "tears and a downward turned mouth."
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--descriptions", "v77"], "no description set 'v77'"),
        (["--dataset", "nowhere"], "no dataset 'nowhere'"),
        (["--fold", "4"], "no fold 4"),
        (["--set", "epoch=3"], "did you mean epochs?"),
        (["--set", "epochs=none"], "epochs=none"),
        (["--preset", "papper"], "did you mean paper?"),
        (["--track", "tensorbord"], "no tracker 'tensorbord'; did you mean tensorboard?"),
        (["--clip", "ViT-B-33"], "no CLIP 'ViT-B-33'"),
        (["--set", "contexts=70"], "70 contexts"),
        (
            ["--set", "lr_image=0", "--set", "lr_temporal=0", "--set", "lr_context=0"],
            "nothing is left to train",
        ),
    ],
)
def test_errors_of_train(
    run: Terminal, packed: PackedClips, isolated: Path, changed: list[str], message: str
) -> None:
    _, err = run(*train_words(packed), *changed, status=2)
    assert message in err
    assert len(err[err.index("Error:") :].strip().splitlines()) <= 2
    assert not list(isolated.glob("runs/*"))


def test_train_without_a_dataset_asks_for_one(run: Terminal, packed: PackedClips, isolated: Path) -> None:
    words = train_words(packed)
    del words[3:5]
    _, err = run(*words, status=2)
    assert "Give --dataset DIR" in err
    (isolated / "dfer.yaml").write_text(f"datasets:\n  mine: {packed.path}\n")
    run(*words)
    assert only_run(isolated).is_dir()


# evaluate


def test_evaluate_on_the_test_fold_equals_the_training_result(run: Terminal, workspace: Path) -> None:
    out, err = run("evaluate", "v1@2", "--device", "cpu", "--json")
    stored, result = json.loads(out), json.loads((only_run(workspace) / "result.json").read_text())
    assert {key: stored[key] for key in result["measures"]["last"]} == result["measures"]["last"]
    assert stored["clips_judged"] == "the 6 clips of test fold 1 of tiny"
    assert "Note" not in err


def test_evaluate_shows_the_last_epoch_beside_the_selected(run: Terminal, packed: PackedClips) -> None:
    trained = json.loads(run(*train_words(packed), "--select", "test-best", "--json")[0])
    out, _ = run("evaluate", trained["run"], "--device", "cpu")
    assert "the best epoch on the test fold (optimistically biased)" in " ".join(out.split())
    assert "the 6 clips of test fold 1 of tiny, the last epoch" in " ".join(out.split())
    output = json.loads(run("evaluate", trained["run"], "--device", "cpu", "--json")[0])
    assert output["selection"] == "test-best"
    assert output["beside"] == {"last": trained["measures"]["last"]}
    everywhere = json.loads(run("evaluate", trained["run"], "--all", "--device", "cpu", "--json")[0])
    assert everywhere["beside"] == {}  # only the chosen epoch's weights are kept


def test_provenance_with_the_test_fold_is_noted_in_result_and_card(
    run: Terminal, packed: PackedClips, isolated: Path
) -> None:
    of = load("v1@2")
    seen = (Seen(dataset="tiny", fingerprint="of another packing", folds=(1,)),)
    chosen = replace(of, manifest=of.manifest.model_copy(update={"seen": seen, "files": {}}))
    DescriptionStore(Workspace.find(None)).save(chosen, "chosen")
    words = [word if word != "v1@2" else "chosen" for word in train_words(packed)]
    note = (
        "chosen was chosen with the labels of fold 1 of tiny, so it cannot be tested there: "
        "the figures are optimistically biased"
    )
    _, err = run(*words)
    assert err.count(note) == 1
    assert note in json.loads((only_run(isolated) / "result.json").read_text())["notes"]
    assert note in (only_run(isolated) / "README.md").read_text()


def test_evaluate_all_warns_and_writes_the_table(run: Terminal, workspace: Path) -> None:
    out, err = run("evaluate", only_run(workspace), "--all", "--out", "p.parquet", "--device", "cpu")
    assert "all 12 clips of tiny" in " ".join(out.split())
    assert "this is not a test" in err
    table = pandas.read_parquet("p.parquet")
    columns = ["clip_id", "class_name", "label", "selection", "predicted", "probabilities", "logits"]
    assert list(table.columns) == columns
    assert len(table) == 12
    assert set(table["selection"]) == {"last"}
    expected = pandas.read_parquet(only_run(workspace) / "predictions.parquet").set_index("clip_id")["logits"]
    for clip_id, logits in table.set_index("clip_id")["logits"].items():
        if clip_id in expected.index:
            np.testing.assert_allclose(logits, expected[clip_id], atol=1e-4)


def test_errors_of_evaluate(run: Terminal, workspace: Path) -> None:
    tiny.pack(workspace / "other", classes=("fear", "boredom"), folds=0)
    for words, message in (
        (["v9"], "no run 'v9'"),
        (["v1@2-fold11"], "no run 'v1@2-fold11'; did you mean v1@2-fold1?"),
        (["v1", "--out", "p.csv"], "the file name must end in .parquet"),
        (["v1", "--dataset", "other"], "boredom"),
        (["v1", "--dataset", "nowhere"], "no dataset 'nowhere'"),
        ([".."], "no run '..'"),
    ):
        _, err = run("evaluate", *words, "--device", "cpu", status=2)
        assert message in err
    assert not list(workspace.glob("p.*"))


def test_evaluate_an_unfinished_run_or_missing_clips(
    run: Terminal, workspace: Path, packed: PackedClips
) -> None:
    config = only_run(workspace) / "config.yaml"
    config.write_text(config.read_text().replace(str(packed.path), "/gone"))
    _, err = run("evaluate", "v1", status=2)
    assert "no longer in /gone" in err
    run("evaluate", "v1", "--dataset", packed.path, "--device", "cpu")
    (only_run(workspace) / "result.json").unlink()
    _, err = run("evaluate", "v1", status=2)
    assert "not finished" in err


# predict


def test_predict_prints_probabilities_and_notes_whole_frames(run: Terminal, workspace: Path) -> None:
    encode(workspace / "video.mkv", frames=20)
    out, err = run("predict", "v1@2-fold1", "video.mkv", "--faces", "none", "--device", "cpu")
    assert "video.mkv" in out
    assert all(name in out for name in tiny.CLASSES)
    assert "Frames used: 2, 7, 12, 17" in err
    assert err.count("Whole frames are used") == 1
    out, _ = run("predict", "v1@2-fold1", "video.mkv", "--faces", "none", "--device", "cpu", "--json")
    output = json.loads(out)
    assert output["frames_are"] == "whole"
    assert output["videos"][0]["frames"] == [2, 7, 12, 17]
    assert sum(output["videos"][0]["probabilities"].values()) == pytest.approx(1)


def test_predict_prints_readable_videos_and_exits_with_2(run: Terminal, workspace: Path) -> None:
    encode(workspace / "video.mkv", frames=20)
    Path("text.mp4").write_text("this is no video\n" * 99)
    out, err = run(
        "predict",
        "v1@2-fold1",
        "text.mp4",
        "video.mkv",
        "missing.mp4",
        "--faces",
        "none",
        "--json",
        "--device",
        "cpu",
        status=2,
    )
    printed = json.loads(out)["videos"]
    assert [each["video"] for each in printed] == ["text.mp4", "video.mkv", "missing.mp4"]
    assert ["error" in each for each in printed] == [True, False, True]
    assert "text.mp4" in err
    assert "missing.mp4" in err


def test_file_names_are_printed_without_escape_sequences(run: Terminal, workspace: Path) -> None:
    _, err = run("predict", "v1@2-fold1", "\x1b[31mred.mp4", "--device", "cpu", status=2)
    assert "\x1b" not in err


def test_a_run_notes_its_augmentation(run: Terminal, isolated: Path) -> None:
    clips = tiny.pack(isolated / "packed", name="dfew", per_class=2)
    out, err = run(*train_words(clips), "--preset", "paper", "--epochs", "1", "--json")
    note = (
        "augmentation: random crop and flip, brightness jitter 0.5; "
        "preset paper augments dfew as the released code does"
    )
    assert f"Note: {note}\n" in err
    output = json.loads(out)
    assert note in output["notes"]
    card = (Path(output["folder"]) / "README.md").read_text(encoding="utf-8")
    assert f"| note | {note} |" in card


def test_left_out_clips_of_a_fold_are_reported(run: Terminal, isolated: Path) -> None:
    clips = tiny.pack(isolated / "packed")
    lists = {"1": {"left_out": ["fear-1"], "validation": ["happiness-1", "sadness-1"]}}
    report = Path(clips.path) / "prepare.json"
    report.write_text(json.dumps({"dataset": "tiny", "lists": lists}), encoding="utf-8")
    out, err = run(*train_words(clips), "--epochs", "1", "--select", "val", "--json")
    assert "leaves out 1 clip that the fold does not test: fear-1" in err
    assert json.loads(out)["clips"] == {"train": 3, "val": 2, "test": 6}
