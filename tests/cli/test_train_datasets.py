"""Training on several datasets together: classes by name, folds of each, and a test table per dataset."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, recall_score

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.evaluation.evaluate import clips_to_test
from dfer_model.exchange.model_file import portable
from dfer_model.progress import silent
from dfer_model.runs import Run
from dfer_prompts import InputError, Interrupted, compare, train
from dfer_prompts.cli import main

from ..model import tiny
from ..model.resuming import same_result, stopping
from .test_train import SMALL, Terminal, only_run

# Clips of the second dataset: class, fold (0: training), number of clips. Some ids are those of the first.
SECOND = [("Happy", 0, 3), ("Happy", 1, 1), ("Sad", 0, 2), ("Sad", 1, 2), ("Angry", 0, 2), ("Angry", 1, 1)]


def second_rows() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(7)
    number = 0
    for name, fold, count in SECOND:
        for _ in range(count):
            frames = [tiny.png((90, 90, number * 15), rng) for _ in range(4)]
            clip_id = f"happiness-{number}"
            yield {"clip_id": clip_id, "class_name": name, "fold": fold, "source": "test", "frames": frames}
            number += 1


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[PackedClips]:
    """Two folds of three classes, 4 clips of each; and one split with two of these classes and another."""
    folder = tmp_path_factory.mktemp("clips")
    first = tiny.pack(folder / "one", name="one")
    second = write_packed(second_rows(), ("Happy", "Angry", "Sad"), folder / "two", {"dataset": "two"})
    return [first, second]


@pytest.fixture(scope="module")
def class_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classes") / "three.yaml"
    path.write_text("name: three\nclasses: [fear, sadness, happiness]\n")
    return path


def words(packed: list[PackedClips], *more: object) -> list[object]:
    found: list[object] = ["train", "--descriptions", "v1@2", "--device", "cpu", "--track", "none"]
    for each in packed:
        found += ["--dataset", each.path]
    found += ["--clip", tiny.register(), "--weights", "random", "--epochs", "2"]
    for setting in SMALL:
        found += ["--set", setting]
    return [*found, *more]


@pytest.fixture(scope="module")
def finished(
    packed: list[PackedClips], class_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A workspace with a run on both datasets, and what the command printed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "300")
        patch.setattr(sys, "argv", ["dfer-prompts", *map(str, words(packed, "--classes", class_set))])
        with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder, printed.getvalue()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def workspace(finished: tuple[Path, str], isolated: Path) -> Path:
    shutil.copytree(finished[0] / "runs", isolated / "runs")
    return isolated


def test_each_dataset_keeps_its_test_fold_and_classes_are_matched_by_name(finished: tuple[Path, str]) -> None:
    folder = only_run(finished[0])
    result = json.loads((folder / "result.json").read_text())
    # `one`: 2 of 4 clips of each class in fold 1. `two`: 8 of 11 clips, of which 3 are in its test fold.
    assert result["clips"] == {"train": 6 + 5, "val": 0, "test": 6 + 3}
    assert result["datasets"]["one"]["clips"] == {"train": 6, "val": 0, "test": 6}
    assert result["datasets"]["two"]["clips"] == {"train": 5, "val": 0, "test": 3}
    assert json.loads((folder / "classes.json").read_text()) == ["fear", "sadness", "happiness"]
    assert "two: 3 clips of other classes are left out (Angry 3)" in result["notes"]
    assert "two has no clips of fear" in result["notes"]


def test_the_measures_of_each_dataset_are_those_of_its_predictions(finished: tuple[Path, str]) -> None:
    folder = only_run(finished[0])
    stored = json.loads((folder / "result.json").read_text())["datasets"]
    table = pandas.read_parquet(folder / "predictions.parquet")
    by_dataset = table.groupby(table.clip_id.str.split("/").str[0])
    assert sorted(by_dataset.groups) == ["one", "two"]
    assert set(table.clip_id[table.clip_id.str.startswith("two")]) == {
        "two/happiness-3",
        "two/happiness-6",
        "two/happiness-7",
    }
    for name, rows in by_dataset:
        measured = stored[name]["measures"]["last"]
        assert measured["war"] == pytest.approx(100 * accuracy_score(rows.class_name, rows.predicted))
        recalls = recall_score(
            rows.class_name, rows.predicted, labels=sorted({*rows.class_name}), average=None
        )
        assert measured["uar"] == pytest.approx(100 * recalls.mean())
    two = table[table.clip_id.str.startswith("two/")].set_index("clip_id").class_name
    assert two["two/happiness-3"] == "happiness"
    assert two["two/happiness-6"] == "sadness"


def test_a_table_per_dataset_is_printed_and_in_the_card(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert "one: the last epoch" in printed
    assert "two: the last epoch" in printed
    card = (only_run(folder) / "README.md").read_text()
    measured = json.loads((only_run(folder) / "result.json").read_text())["datasets"]["two"]["measures"]
    last = measured["last"]
    assert f"| two | last | 3 | {last['uar']:.2f} | {last['war']:.2f} |" in card
    assert "# v1@2 on one+two, fold 1, seed 1" in card.replace("\\", "")


def test_the_same_command_reuses_the_run(
    run: Terminal, packed: list[PackedClips], class_set: Path, workspace: Path
) -> None:
    out, _ = run(*words(packed, "--classes", class_set, "--json"))
    said = json.loads(out)
    assert said["run"] == only_run(workspace).name
    assert said["datasets"]["two"]["measures"]["last"]["clips"] == 3


def test_evaluate_opens_all_datasets_of_the_run_again(run: Terminal, workspace: Path) -> None:
    stored = json.loads((only_run(workspace) / "result.json").read_text())
    out, _ = run("evaluate", "v1@2", "--device", "cpu", "--json")
    said = json.loads(out)
    assert said["clips"] == 9
    assert said["uar"] == pytest.approx(stored["measures"]["last"]["uar"])
    for name in ("one", "two"):
        assert said["datasets"][name]["uar"] == stored["datasets"][name]["measures"]["last"]["uar"]


def test_evaluate_on_one_of_the_datasets(run: Terminal, packed: list[PackedClips], workspace: Path) -> None:
    stored = json.loads((only_run(workspace) / "result.json").read_text())
    out, _ = run("evaluate", "v1@2", "--dataset", packed[0].path, "--device", "cpu", "--json")
    said = json.loads(out)
    assert said["war"] == stored["datasets"]["one"]["measures"]["last"]["war"]
    assert "datasets" not in said
    out, _ = run("evaluate", "v1@2", "--dataset", packed[0].path, "--all", "--device", "cpu", "--json")
    assert "include the training clips" in json.loads(out)["notes"][0]
    _, err = run("evaluate", "v1@2", "--dataset", packed[1].path, status=2)
    assert "has clips of Happy, Angry, Sad, which" in err
    _, err = run("calibrate", "v1@2", "--dataset", packed[0].path, status=2)
    assert "was trained on one and other datasets" in err


def test_the_report_shows_the_datasets_and_repeats_the_command(run: Terminal, workspace: Path) -> None:
    run("report", "v1@2", "--format", "markdown", "--out", "report.md")
    text = Path("report.md").read_text()
    assert "The test clips of each dataset" in text
    assert text.count("--dataset") == 2
    assert "three.yaml" in text


def test_a_stopped_run_is_resumed_to_the_same_result(
    packed: list[PackedClips], class_set: Path, finished: tuple[Path, str]
) -> None:
    def trained(report: Any) -> Run:
        choices: Any = {"clip": tiny.register(), "weights": "random", "epochs": 2, "overrides": SMALL}
        choices |= {"device": "cpu", "progress": lambda _: nullcontext(report)}
        return train("v1@2", dataset=packed, classes=str(class_set), **choices)

    with pytest.raises(Interrupted, match="1 of 2 epochs"):
        trained(stopping("epoch 2, step 1", KeyboardInterrupt))
    resumed = trained(silent)
    whole = Run.open(only_run(finished[0]))
    assert resumed.id == whole.id
    assert same_result(resumed, whole)


def test_one_dataset_in_a_list_is_the_run_of_that_dataset(packed: list[PackedClips]) -> None:
    choices: Any = {"clip": tiny.register(), "weights": "random", "epochs": 0, "overrides": SMALL}
    one, listed = (train("v1@2", dataset=each, device="cpu", **choices) for each in (packed[0], packed[:1]))
    assert one.id == listed.id
    assert one.config["dataset"].keys() == {"name", "path", "fingerprint"}
    assert "datasets" not in one.result


@pytest.mark.parametrize(
    ("given", "classes", "fold", "says"),
    [
        ((0, 1), None, 1, "has the classes Angry, which"),
        ((0, 0), None, 1, "have the same clips"),
        ((0, 1), "mafw", 1, "no dataset has clips of neutral"),
        ((0, 1), "three", 3, "one has no fold 3: it has 1, 2"),
    ],
)
def test_datasets_that_do_not_fit_are_one_sentence(
    run: Terminal,
    packed: list[PackedClips],
    class_set: Path,
    given: tuple[int, ...],
    classes: str | None,
    fold: int,
    says: str,
) -> None:
    more = ["--classes", class_set if classes == "three" else classes] if classes else []
    _, err = run(*words([packed[each] for each in given], *more, "--fold", fold), status=2)
    assert says in err


def test_the_only_split_of_a_dataset_is_tested_in_every_fold(
    run: Terminal, packed: list[PackedClips], class_set: Path
) -> None:
    out, _ = run(*words(packed, "--classes", class_set, "--fold", 2, "--epochs", 0, "--json"))
    said = json.loads(out)
    assert said["datasets"]["one"]["clips"]["test"] == 6
    assert said["datasets"]["two"]["clips"] == {"train": 5, "val": 0, "test": 3}
    assert "two has one test fold, 1, which is tested in every fold" in said["notes"]
    tested = clips_to_test(Run.open(Path(said["folder"])), packed[1])
    assert tested.which == "the 4 clips of test fold 1 of two"


@pytest.mark.parametrize("command", [("compare", "v1"), ("descriptions", "score", "v1"), ("evaluate", "v1")])
def test_other_commands_take_one_dataset(run: Terminal, command: tuple[str, ...]) -> None:
    _, err = run(*command, "--dataset", "a", "--dataset=b", status=2)
    assert err == f"Error: {command[0]} takes one dataset, and --dataset is given 2 times\n"


def test_other_functions_take_one_dataset(packed: list[PackedClips]) -> None:
    with pytest.raises(InputError, match="Only train takes several"):
        compare("v1@2", "v1", dataset=packed)  # type: ignore[arg-type]


def test_a_comparison_of_runs_on_several_datasets(
    run: Terminal, packed: list[PackedClips], class_set: Path, workspace: Path
) -> None:
    run(*words(packed, "--classes", class_set, "--epochs", 0))
    ids = sorted(path.name for path in (workspace / "runs").iterdir())
    out, _ = run("compare", *ids, "--device", "cpu", "--json")
    assert "9 clips of test fold 1 of one+two" in json.loads(out)["clips_judged"]
    _, err = run("compare", ids[0], "v1@2", "--device", "cpu", status=2)
    assert "compare trains sets on one" in err


def test_an_exported_run_has_no_paths_of_its_datasets(
    finished: tuple[Path, str], packed: list[PackedClips]
) -> None:
    shown = portable(Run.open(only_run(finished[0]))).config["dataset"]
    assert [each["path"] for each in shown["parts"]] == ["", ""]
    assert shown["class_set"] == "three.yaml"


def test_a_dry_run_counts_the_clips_of_all_datasets(
    run: Terminal, packed: list[PackedClips], class_set: Path
) -> None:
    out, _ = run(*words(packed, "--classes", class_set, "--dry-run", "--json"))
    clips = json.loads(out)["clips"]
    assert clips["train"] == {"fear": 2, "sadness": 2 + 2, "happiness": 2 + 3}
    assert clips["test"] == {"fear": 2, "sadness": 2 + 2, "happiness": 2 + 1}
