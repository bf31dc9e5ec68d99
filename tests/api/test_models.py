"""`train`, `evaluate`, `predict`, `export_model`, `push_model` and `from_pretrained` from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from dfer_model.data.packed import PackedClips
from dfer_model.evaluation.calibration import Calibration, write_calibration
from dfer_model.runs import Run
from dfer_prompts import Workspace, evaluate, export_model, from_pretrained, load, predict, push_model, train
from dfer_prompts.errors import InputError, WorkError

from ..model import tiny
from ..model.evaluation.test_classify import encode
from ..model.exchange.runs_to_export import judged_frames, recorded_logits
from ..prompts.hub import FakeHub

QUICK = ["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0"]


def choices() -> Any:
    return {"clip": tiny.register(), "weights": "random", "overrides": QUICK, "device": "cpu"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("somebody") / ".")


@pytest.fixture(scope="module")
def run(packed: PackedClips, place: Workspace) -> Run:
    return train("v1@2", dataset=packed.path, workspace=place, **choices())


def test_train_reuses_its_run_and_evaluate_reproduces_its_figures(
    run: Run, packed: PackedClips, place: Workspace
) -> None:
    assert (run.finished, run.folder.parent, run.texts.name) == (True, place.runs, "v1@2")
    again = train(load("v1@2"), dataset=packed, workspace=place, **choices())
    assert again.folder == run.folder
    evaluated = evaluate(run.id[:8], workspace=place, device="cpu")
    np.testing.assert_allclose(evaluated.predictions.logits, recorded_logits(run), atol=1e-4)
    assert evaluated.as_dict()["uar"] == run.result["measures"]["last"]["uar"]
    assert evaluate(run, packed, every=True, device="cpu").predictions.logits.shape == (12, 3)


def test_a_strategy_without_texts_needs_no_set(packed: PackedClips, place: Workspace) -> None:
    reports: list[str] = []
    probe: Any = {"dataset": packed, "workspace": place, "strategy": "linear-probe", **choices()}
    first = train(**probe)
    assert (first.texts.texts, first.texts.sha256) == (((), (), ()), "")
    assert first.id.startswith("linear-fold1-seed1-")
    assert train("v1@2", note=reports.append, **probe).folder == first.folder
    assert reports == ["a linear classifier uses no texts: v1@2 is ignored"]
    with pytest.raises(InputError, match=r"needs class texts\nGive a set"):
        train(**{**probe, "strategy": None})


def test_a_missing_fold_is_an_error_before_any_work(packed: PackedClips, place: Workspace) -> None:
    stages: list[str] = []
    with pytest.raises(InputError, match="fold 9"):
        train("v1", dataset=packed, fold=9, workspace=place, progress=stages.append, **choices())  # type: ignore[arg-type]
    assert stages == []


def test_export_and_back(run: Run, packed: PackedClips, place: Workspace, tmp_path: Path) -> None:
    exported = export_model(run.id, "safetensors", workspace=place)
    assert (exported.path, exported.difference) == (place.root / f"{run.id}.safetensors", None)
    assert exported.files == {exported.path.name: exported.path.stat().st_size}
    video = encode(tmp_path / "video.avi", frames=5)
    predictions = [
        predict(each, [video], faces="none", workspace=place, device="cpu")[0] for each in (run, run.id)
    ]
    for source in (exported.path, run.folder, run.id):
        model = from_pretrained(source, workspace=place, device="cpu")
        frames = judged_frames(run, packed, model.image_size)
        np.testing.assert_array_equal(model.logits(frames).numpy(), recorded_logits(run))
        predictions += predict(model, [video], faces="none")
    assert len({json.dumps(each.as_dict()) for each in predictions}) == 1
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        export_model(run, "onnx", tmp_path / "faces.pb")


def test_to_the_hub_and_back(run: Run, packed: PackedClips, place: Workspace, hub: FakeHub) -> None:
    run.config["settings"]["weights"] = f"{place.root}/ViT.pt"
    try:
        pushed = push_model(run, "me/faces", private=True)
    finally:
        run.config["settings"]["weights"] = "random"
    assert pushed.revision == hub.models["me/faces"].commits[-1][0]
    assert hub.models["me/faces"].private
    files = hub.files_of_model("me/faces")
    assert {each.name for each in pushed.files} == set(files) - {".gitattributes"}
    assert "predictions.parquet" not in files
    for name, content in files.items():
        for known in (packed.path, packed.path.parent, place.root, Path.home()):
            assert str(known).encode() not in content, (name, known)
    model = from_pretrained("me/faces", device="cpu")
    assert model.class_names == run.class_names
    frames = judged_frames(run, packed, model.image_size)
    np.testing.assert_array_equal(model.logits(frames).numpy(), recorded_logits(run))
    assert from_pretrained(f"me/faces@{pushed.revision}", device="cpu").settings.weights == "ViT.pt"

    header = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert (header["library_name"], header["pipeline_tag"]) == ("dfer-prompts", "video-classification")
    (listed,) = header["model-index"][0]["results"]
    assert listed["dataset"]["name"] == "tiny"
    assert listed["metrics"][1]["value"] == round(run.result["measures"]["last"]["war"], 2)
    figures = run.result["measures"]["last"]
    read = ModelCard(files["README.md"].decode()).data.eval_results
    assert [(each.metric_type, each.dataset_split, each.metric_value) for each in read] == [
        ("recall", "fold 1", round(figures["uar"], 2)),
        ("accuracy", "fold 1", round(figures["war"], 2)),
    ]
    assert 'from_pretrained("me/faces")' in files["README.md"].decode()


def test_a_repository_downloaded_whole_is_a_run(
    run: Run, packed: PackedClips, hub: FakeHub, tmp_path: Path
) -> None:
    write_calibration(run, Calibration(3.0, "clips of a test", 2, "f" * 8, ("someone-1", "someone-2")))
    try:
        push_model(run, "me/faces")
        video = encode(tmp_path / "video.avi", frames=5)
        (prediction,) = predict(run, [video], faces="none", device="cpu")
    finally:
        (run.folder / "calibration.json").unlink()
    assert not any(b"someone" in content for content in hub.files_of_model("me/faces").values())
    assert "logits divided by 3, fitted on 2 clips" in hub.files_of_model("me/faces")["README.md"].decode()
    for name, content in hub.files_of_model("me/faces").items():
        (tmp_path / name).write_bytes(content)
    for source in (tmp_path, "me/faces"):  # as a run's folder, and from the one file
        model = from_pretrained(source, device="cpu")
        assert model.predict(video).probabilities == prediction.probabilities
    (plain,) = predict(run, [video], faces="none", device="cpu")
    assert plain.probabilities != prediction.probabilities
    evaluated = evaluate(tmp_path, packed, device="cpu")
    assert evaluated.measures.war == run.measures("last").war
    with pytest.raises(InputError, match=r"no clips of its own\nGive them"):
        evaluate(tmp_path, device="cpu")


def test_errors_of_the_hub_are_reported(run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not a valid model name"):
        push_model(run, "faces")
    with pytest.raises(InputError, match="there is no model me/other"):
        from_pretrained("me/other")
    push_model(run, "me/faces")
    with pytest.raises(InputError, match="exists and is public"):
        push_model(run, "me/faces", private=True)
    hub.models["me/faces"].commit({"README.md": b""})
    with pytest.raises(InputError, match=r"it has no file model\.safetensors"):
        from_pretrained("me/faces")
    hub.models["me/faces"].commit({"model.safetensors": b"x" * 99})
    with pytest.raises(InputError, match="is not a valid safetensors file"):
        from_pretrained("me/faces")
    hub.failing["/api/repos"] = 500
    with pytest.raises(WorkError, match="answered 500 about me/faces"):
        push_model(run, "me/faces")
    monkeypatch.setenv("HF_TOKEN", "v1@2 and more")
    monkeypatch.setitem(run.config, "note", "v1@2 and more")
    with pytest.raises(InputError, match="contains a key"):
        push_model(run, "me/faces")
