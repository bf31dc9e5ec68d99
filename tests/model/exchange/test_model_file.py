"""A safetensors export is self-contained: it predicts as the run did, without the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.calibration import Calibration, write_calibration
from dfer_model.evaluation.classify import predict
from dfer_model.exchange.model_file import export_safetensors, facts, load_pretrained
from dfer_model.runs import Run

from ..evaluation.test_classify import encode
from .runs_to_export import judged_frames, recorded_logits

Trained = Callable[..., Run]


def test_an_exported_model_predicts_without_the_run(
    trained: Trained, packed: PackedClips, tmp_path: Path
) -> None:
    run = trained(epochs=1)
    video = encode(tmp_path / "video.avi", frames=6)
    predictions = predict(run, [video], "cpu")[0]
    gone = Run.open(Path(shutil.copytree(run.folder, tmp_path / "gone")))
    path = tmp_path / "sent" / "model.safetensors"
    export_safetensors(gone, path)
    shutil.rmtree(gone.folder)
    for place in (path, path.parent, run.folder):
        model = load_pretrained(place, "cpu")
        assert model.class_names == ("happiness", "sadness", "fear")
        frames = judged_frames(run, packed, model.image_size)
        np.testing.assert_array_equal(model.logits(frames).numpy(), recorded_logits(run))
        assert model.predict(video).probabilities == predictions.probabilities


def test_the_export_has_the_temperature_of_the_run(
    trained: Trained, packed: PackedClips, tmp_path: Path
) -> None:
    plain = trained(epochs=1)
    video = encode(tmp_path / "video.avi", frames=6)
    (unsure,) = predict(plain, [video], "cpu")
    run = Run.open(Path(shutil.copytree(plain.folder, tmp_path / "calibrated")))
    write_calibration(run, Calibration(4.0, "clips of a test", 3, "f" * 8, ("someone-1", "b", "c")))
    (prediction,) = predict(run, [video], "cpu")
    path = tmp_path / "m.safetensors"
    export_safetensors(run, path)
    shutil.rmtree(run.folder)
    model = load_pretrained(path, "cpu")
    assert model.predict(video).probabilities == prediction.probabilities != unsure.probabilities
    assert model.temperature == 4.0
    np.testing.assert_array_equal(
        model.logits(judged_frames(plain, packed, model.image_size)).numpy(), recorded_logits(plain)
    )
    assert b"someone-1" not in path.read_bytes()
    older = {key: value for key, value in facts(plain).items() if key != "temperature"}
    save_file(load_file(path), tmp_path / "older.safetensors", older)
    assert load_pretrained(tmp_path / "older.safetensors", "cpu").temperature == 1.0


def test_the_export_has_no_local_paths(trained: Trained, packed: PackedClips, tmp_path: Path) -> None:
    run = trained(epochs=1)
    run.config["settings"]["weights"] = "/home/somebody/clip weights/ViT.pt"
    export_safetensors(run, tmp_path / "m.safetensors")
    written = (tmp_path / "m.safetensors").read_bytes()
    assert str(packed.path).encode() not in written
    assert b"somebody" not in written
    assert b'"weights": "ViT.pt"'.replace(b'"', b'\\"') in written


def test_other_files_are_an_error(trained: Trained, tmp_path: Path) -> None:
    run = trained(epochs=1)
    tensors, metadata = load_file(run.folder / "model.safetensors"), facts(run)
    save_file({"a": torch.ones(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "text.safetensors").write_text("not one")
    save_file(tensors, tmp_path / "names.safetensors", {**metadata, "class_names": "[1"})
    save_file(tensors, tmp_path / "settings.safetensors", {**metadata, "settings": '{"frames": 0}'})
    save_file(tensors, tmp_path / "temperature.safetensors", {**metadata, "temperature": "0"})
    save_file({"a": torch.ones(1)}, tmp_path / "weights.safetensors", metadata)
    (tmp_path / "empty").mkdir()
    wrong = {
        "nothing.safetensors": "model file .* does not exist",
        "plain.safetensors": "has no metadata of a model",
        "text.safetensors": "is not a valid safetensors file",
        "names.safetensors": "is damaged: its metadata lack",
        "settings.safetensors": "frames",
        "temperature.safetensors": "is damaged: its metadata lack or have a wrong temperature",
        "weights.safetensors": "does not fit the model",
        "empty": "has no model",
    }
    for name, reason in wrong.items():
        with pytest.raises(InputError, match=reason):
            load_pretrained(tmp_path / name, "cpu")
