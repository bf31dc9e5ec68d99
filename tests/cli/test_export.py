"""`export` and `push-model` from the command line: what they print, leave behind and refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnxruntime
import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from ..model import tiny
from ..prompts.hub import FakeHub
from .test_train import Terminal


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a temporal model, since only its files matter, in a folder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    clips: PackedClips = tiny.pack(folder / "packed")
    spec = tiny.spec(clips, epochs=0, temporal_depth=0, frames=2)
    return train_run(spec, clips, folder / "runs", device="cpu")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_export_writes_a_file_and_reports_its_error(run: Terminal, trained: Run, isolated: Path) -> None:
    out, err = run("export", trained.folder, "--format", "onnx")
    assert f"{trained.id}.onnx" in out
    assert "Its logits equal PyTorch's within" in err
    path = isolated / f"{trained.id}.onnx"
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(trained.class_names)

    out, _ = run("export", trained.folder, "--format", "safetensors", "--out", "m.safetensors", "--json")
    answer = json.loads(out)
    assert (answer["path"], answer["difference"]) == ("m.safetensors", None)
    assert answer["files"] == {"m.safetensors": Path("m.safetensors").stat().st_size}


def test_invalid_exports_are_refused(
    run: Terminal, trained: Run, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = run("export", trained.folder, "--format", "onnx", "--out", "faces.bin", status=2)
    assert "the file's name must end in .onnx" in err
    _, err = run("export", "nothing", "--format", "onnx", status=2)
    assert "no run 'nothing'" in err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    _, err = run("export", trained.folder, "--format", "onnx", status=2)
    assert "pip install 'dfer-prompts[onnx]'" in err
    assert list(isolated.iterdir()) == []


def test_push_model_lists_its_files_and_sends_them(run: Terminal, trained: Run, hub: FakeHub) -> None:
    out, err = run("push-model", trained.folder, "me/faces", "--dry-run")
    assert "would be uploaded to me/faces" in out
    assert "Nothing was uploaded" in err
    assert hub.requests == []
    output = json.loads(run("push-model", trained.folder, "me/faces", "--json")[0])
    assert output["revision"] == hub.models["me/faces"].commits[-1][0]
    names = [each["name"] for each in output["files"]]
    assert (names[0], names[-1]) == ("README.md", "model.safetensors")
    assert set(names) <= set(hub.files_of_model("me/faces"))
    _, err = run("push-model", trained.folder, "faces", status=2)
    assert "'faces' is not a valid model name on the hub" in err
