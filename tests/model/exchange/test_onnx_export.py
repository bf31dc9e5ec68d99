"""An ONNX file answers, in onnxruntime and from uint8 frames, what the run answered when it was trained."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from dfer_model.data.augmentation import resize
from dfer_model.data.packed import PackedClips
from dfer_model.data.video import read_sampled_frames
from dfer_model.errors import InputError, WorkError
from dfer_model.evaluation.calibration import Calibration, write_calibration
from dfer_model.evaluation.classify import predict
from dfer_model.exchange import onnx_export as onnx_file
from dfer_model.runs import Run

from ..evaluation.test_classify import encode
from .runs_to_export import judged_frames, recorded_logits

Trained = Callable[..., Run]


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 1},
        {"classifier": "linear", "temporal_depth": 0},
        {"classifier": "cocoop", "context_kind": "unified", "temporal_depth": 0},
        {"clip": "demo", "weights": "shipped", "normalize": "none", "temporal_depth": 0, "frames": 2},
    ],
    ids=["dfer-clip", "linear", "cocoop", "resnet"],
)
def test_it_answers_as_the_run_did(
    trained: Trained, packed: PackedClips, tmp_path: Path, changed: dict[str, Any]
) -> None:
    run = trained(**{"epochs": 0, **changed})
    path = tmp_path / "out" / "faces.onnx"
    difference = onnx_file.export_onnx(run, path)
    assert 0 <= difference < 1e-3
    assert [each.name for each in path.parent.iterdir()] == ["faces.onnx"]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    frames = judged_frames(run, packed, int(said["image_size"])).numpy()
    assert frames.shape[1] == int(said["frames"])
    logits, probabilities = session.run(["logits", "probabilities"], {"frames": frames})
    np.testing.assert_allclose(logits, recorded_logits(run), rtol=1e-4, atol=1e-4)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    one = session.run(["logits"], {"frames": frames[:1]})[0]
    np.testing.assert_allclose(one, logits[:1], rtol=1e-4, atol=1e-4)


def test_its_metadata_say_how_to_use_it_and_how_sure_it_may_be(
    trained: Trained, packed: PackedClips, tmp_path: Path
) -> None:
    plain = trained(epochs=1)
    run = Run.open(Path(shutil.copytree(plain.folder, tmp_path / plain.id)))
    write_calibration(run, Calibration(4.0, "clips of a test", 3, "f" * 8, ("a", "b", "c")))
    onnx_file.export_onnx(run, tmp_path / "faces.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "faces.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["class_names"]) == ["happiness", "sadness", "fear"]
    assert (said["frames"], said["image_size"], said["run"]) == ("4", "32", run.id)
    assert json.loads(said["mean"]) == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert said["descriptions_sha256"] == run.texts.sha256
    assert str(packed.path).encode() not in (tmp_path / "faces.onnx").read_bytes()
    assert said["temperature"] == "4.0"
    video = encode(tmp_path / "video.avi", frames=4)
    (expected,) = predict(run, [video], "cpu")
    square = resize(list(read_sampled_frames(video, 4).frames), 32)[None].numpy()
    logits, probabilities = session.run(["logits", "probabilities"], {"frames": square})
    np.testing.assert_allclose(probabilities[0], list(expected.probabilities.values()), atol=1e-5)
    powers = np.exp(logits[0] / 4)
    np.testing.assert_allclose(probabilities[0], powers / powers.sum(), atol=1e-5)


def test_a_graph_that_differs_is_not_kept(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", 0.0)
    with pytest.raises(
        WorkError,
        match=r"the logits of the ONNX graph differ from PyTorch's by up to .*\nNothing was written",
    ):
        onnx_file.export_onnx(trained(epochs=1), tmp_path / "faces.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError,
        match=r"onnxruntime, which is not installed.*\nInstall: pip install 'dfer-prompts\[onnx\]'",
    ):
        onnx_file.export_onnx(trained(epochs=1), tmp_path / "faces.onnx")
