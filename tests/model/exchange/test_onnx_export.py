"""ONNX export: in onnxruntime, uint8 frames give the predictions recorded by the run."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
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

from .. import tiny
from ..evaluation.test_classify import encode
from .runs_to_export import judged_frames, recorded_logits

Trained = Callable[..., Run]
TEMPERATURE = 4.0
KINDS: dict[str, dict[str, Any]] = {
    "dfer-clip": {"epochs": 1},
    "cocoop": {"classifier": "cocoop", "context_kind": "unified", "temporal_depth": 0, "frames": 2},
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A run and its graph; `difference` is what the export returned."""

    run: Run
    path: Path
    difference: float

    def session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a run of each of KINDS once. That of DFER-CLIP is calibrated; the others have no epochs."""

    @cache
    def export(kind: str) -> Exported:
        changed = {"epochs": 0, "clip": tiny.register(layers=1), **KINDS[kind]}
        run, folder = trained(**changed), tmp_path_factory.mktemp(kind)
        if kind == "dfer-clip":
            run = Run.open(Path(shutil.copytree(run.folder, folder / run.id)))
            calibration = Calibration(TEMPERATURE, "clips of a test", 3, "f" * 8, ("a", "b", "c"))
            write_calibration(run, calibration)
        path = folder / "out" / "faces.onnx"
        return Exported(run, path, onnx_file.export_onnx(run, path))

    return export


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_gives_the_logits_and_probabilities_of_the_run(
    exported: Callable[[str], Exported], packed: PackedClips, kind: str
) -> None:
    graph = exported(kind)
    assert 0 <= graph.difference < 1e-3
    assert [each.name for each in graph.path.parent.iterdir()] == ["faces.onnx"]

    session = graph.session()
    metadata = session.get_modelmeta().custom_metadata_map
    frames = judged_frames(graph.run, packed, int(metadata["image_size"])).numpy()
    assert frames.shape[1] == int(metadata["frames"])
    logits, probabilities = session.run(["logits", "probabilities"], {"frames": frames})
    np.testing.assert_allclose(logits, recorded_logits(graph.run), rtol=1e-4, atol=1e-4)
    scaled = logits / (TEMPERATURE if kind == "dfer-clip" else 1.0)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    one = session.run(["logits"], {"frames": frames[:1]})[0]
    np.testing.assert_allclose(one, logits[:1], rtol=1e-4, atol=1e-4)


def test_metadata_have_the_preprocessing_and_the_temperature(
    exported: Callable[[str], Exported], packed: PackedClips, tmp_path: Path
) -> None:
    graph = exported("dfer-clip")
    run, session = graph.run, graph.session()
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["happiness", "sadness", "fear"]
    assert (metadata["frames"], metadata["image_size"], metadata["run"]) == ("4", "32", run.id)
    assert json.loads(metadata["mean"]) == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert metadata["descriptions_sha256"] == run.texts.sha256
    assert str(packed.path).encode() not in graph.path.read_bytes()
    assert metadata["temperature"] == "4.0"
    video = encode(tmp_path / "video.avi", frames=4)
    (expected,) = predict(run, [video], "cpu")
    square = resize(list(read_sampled_frames(video, 4).frames), 32)[None].numpy()
    (probabilities,) = session.run(["probabilities"], {"frames": square})
    np.testing.assert_allclose(probabilities[0], list(expected.probabilities.values()), atol=1e-5)


def test_a_graph_beyond_the_tolerance_is_not_written(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", 0.0)
    resnet = {"clip": "demo", "weights": "shipped", "normalize": "none", "frames": 2}
    run = trained(epochs=0, classifier="linear", temporal_depth=0, **resnet)
    message = r"the logits of the ONNX graph differ from PyTorch's by up to (\S+)\nNothing was written"
    with pytest.raises(WorkError, match=message) as caught:
        onnx_file.export_onnx(run, tmp_path / "faces.onnx")
    difference = re.search(message, str(caught.value))
    assert difference is not None
    assert 0 < float(difference[1]) < 1e-4  # the graph of a ResNet with a linear head is right up to rounding
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_an_error_with_the_install_command(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError,
        match=r"onnxruntime, which is not installed.*\nInstall: pip install 'dfer-prompts\[onnx\]'",
    ):
        onnx_file.export_onnx(trained(epochs=1), tmp_path / "faces.onnx")
