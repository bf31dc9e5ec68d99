"""The identity of a run, its folder, and what is read from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from dfer_model.config import Settings
from dfer_model.errors import InputError
from dfer_model.runs import (
    ClassTexts,
    Predictions,
    Run,
    RunSpec,
    find_run,
    read_predictions,
    write_predictions,
)

TEXTS = ClassTexts("v2@4", "ab" * 32, ("happiness", "sadness"), (("a smile.",), ("tears.", "a frown.")))
SPEC = RunSpec(Settings(), TEXTS, Path("/data/dfew"), "fingerprint", fold=1, seed=2)


def test_the_id_is_readable() -> None:
    assert SPEC.id == f"v2@4-fold1-seed2-{SPEC.definition[:8]}"


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("control:swapped", "control-swapped-"), ("../../x y", "x-y-"), ("", "texts-"), ("é", "texts-")],
)
def test_the_id_is_a_file_name_for_any_name_of_the_set(name: str, beginning: str) -> None:
    assert replace(SPEC, texts=replace(TEXTS, name=name)).id.startswith(beginning + "fold1")


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, fold=2),
        replace(SPEC, seed=3),
        replace(SPEC, dataset_fingerprint="other"),
        replace(SPEC, settings=Settings(epochs=49)),
        replace(SPEC, settings=Settings(weights="laion2b")),
        replace(SPEC, texts=replace(TEXTS, texts=(("a smile.",), ("tears.",)))),
        replace(SPEC, texts=replace(TEXTS, class_names=("happiness", "fear"))),
    ],
)
def test_settings_that_affect_results_change_the_id(changed: RunSpec) -> None:
    assert changed.definition != SPEC.definition


@pytest.mark.parametrize(
    "same",
    [
        replace(SPEC, dataset=Path("/elsewhere")),
        replace(SPEC, settings=Settings(workers=0)),
        replace(SPEC, settings=Settings(accumulate=4)),
        replace(SPEC, settings=Settings(fast_fp32=True)),
        replace(SPEC, settings=Settings(compile="inductor")),
        replace(SPEC, notes=("it was chosen by fold 2",)),
        replace(SPEC, texts=replace(TEXTS, name="v3", sha256="cd" * 32)),
    ],
)
def test_other_settings_do_not_change_the_id(same: RunSpec) -> None:
    assert same.definition == SPEC.definition


def test_weights_in_a_file_enter_by_their_content(tmp_path: Path) -> None:
    def definition(path: Path) -> str:
        return replace(SPEC, settings=Settings(weights=str(path))).definition

    one, moved = tmp_path / "one.pt", tmp_path / "moved.pt"
    one.write_bytes(b"weights")
    moved.write_bytes(b"weights")
    before = definition(one)
    assert definition(moved) == before
    one.write_bytes(b"others!")
    assert definition(one) != before


def test_equal_texts_are_one_run_under_any_name(tmp_path: Path) -> None:
    (tmp_path / SPEC.id).mkdir()
    renamed = replace(SPEC, texts=replace(TEXTS, name="v3"))
    assert renamed.folder(tmp_path) == tmp_path / SPEC.id
    assert replace(SPEC, seed=9).folder(tmp_path).name.startswith("v2@4-fold1-seed9-")


PARTS = {
    "last": Predictions(["a", "b"], np.array([0, 1]), np.array([[2, 1], [3, 1]], dtype=np.float32)),
    "test-best": Predictions(["a", "b"], np.array([0, 1]), np.array([[2, 1], [0, 1]], dtype=np.float32)),
}


def a_run(folder: Path, finished: bool = True) -> Path:
    folder.mkdir(parents=True)
    config = {
        "dataset": {"fingerprint": "f"},
        "fold": 1,
        "seed": 2,
        "settings": Settings(epochs=7).model_dump(mode="json"),
    }
    texts = {"name": "v2@4", "sha256": "ab", "texts": {"happiness": ["a smile."], "sadness": ["tears."]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "classes.json").write_text('["happiness", "sadness"]')
    (folder / "texts.json").write_text(json.dumps(texts))
    write_predictions(folder / "predictions.parquet", ["happiness", "sadness"], PARTS)
    if finished:
        (folder / "result.json").write_text('{"measures": {"test-best": {}, "last": {}}}')
    return folder


def test_a_run_reads_back(tmp_path: Path) -> None:
    run = Run.open(a_run(tmp_path / "one"))
    assert run.finished
    assert (run.id, run.fold, run.seed) == ("one", 1, 2)
    assert run.class_names == ("happiness", "sadness")
    assert run.texts.texts == (("a smile.",), ("tears.",))
    assert run.settings == Settings(epochs=7)
    assert run.selections == ("test-best", "last")
    assert run.predictions("last").clip_ids == ["a", "b"]
    assert run.predictions("last").logits.tolist() == [[2, 1], [3, 1]]
    assert (run.measures("last").war, run.measures("test-best").war) == (50.0, 100.0)
    assert run.named("v3").texts.name == "v3"


def test_the_predictions_are_the_documented_table(tmp_path: Path) -> None:
    import pandas

    write_predictions(tmp_path / "p.parquet", ["happiness", "sadness"], PARTS)
    table = pandas.read_parquet(tmp_path / "p.parquet")
    columns = ["clip_id", "class_name", "label", "selection", "predicted", "probabilities", "logits"]
    assert list(table.columns) == columns
    assert table["class_name"].tolist() == ["happiness", "sadness"] * 2
    assert table["selection"].tolist() == ["last", "last", "test-best", "test-best"]
    assert table["logits"].iloc[3].tolist() == [0, 1]


def test_other_folders_are_not_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path)
    unfinished = Run.open(a_run(tmp_path / "unfinished", finished=False))
    assert not unfinished.finished
    with pytest.raises(InputError, match="not finished"):
        unfinished.predictions("last")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", "a: [", "not valid YAML"),
        ("config.yaml", "- a", "key: value"),
        ("config.yaml", "a: !!bool x", "a `!!` tag does not fit"),
        ("config.yaml", "a: !!int x", "not valid YAML"),
        ("config.yaml", "a: !!timestamp x", "a `!!` tag does not fit"),
        ("config.yaml", "[" * 5000, "not valid YAML"),
        ("config.yaml", "fold: 1", "damaged"),
        ("classes.json", "[", "not valid JSON"),
        ("classes.json", '["happiness", "fear"]', "damaged"),
        ("texts.json", "[]", "damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    folder = a_run(tmp_path / "run")
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Run.open(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_damaged_predictions(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.parquet"):
        read_predictions(tmp_path / "p.parquet", "last")


def test_unknown_selection(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it has test-best, last"):
        Run.open(a_run(tmp_path / "run")).predictions("val")


def test_find_run(tmp_path: Path) -> None:
    for name in ("v1-fold1", "v1-fold10", "v2-fold1"):
        a_run(tmp_path / name)
    assert find_run(tmp_path, "v2").id == "v2-fold1"
    assert find_run(tmp_path, "v1-fold1").id == "v1-fold1"  # an exact id, though another begins with it
    assert find_run(tmp_path, str(tmp_path / "v1-fold10")).id == "v1-fold10"
    with pytest.raises(InputError, match="matches 2 runs"):
        find_run(tmp_path, "v1")
    with pytest.raises(InputError, match="There are: v1-fold1, v1-fold10, v2-fold1"):
        find_run(tmp_path, "v3")
    with pytest.raises(InputError, match="none under"):
        find_run(tmp_path / "empty", "v3")
