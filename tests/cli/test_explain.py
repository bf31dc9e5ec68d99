"""`explain` from the command line, on a video of the test's own: what it prints, draws and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import load

from ..model import tiny
from ..model.test_prediction import encode
from .test_run import Terminal, only_run, train_words


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_what_speaks_for_an_answer(run: Terminal, packed: PackedClips, isolated: Path) -> None:
    run(*train_words(packed), "--epochs", "1")
    video = encode(isolated / "video.mkv", frames=20)
    out, err = run("explain", "v1", video, "--plot", "why.svg", "--device", "cpu", "--json")
    told = json.loads(out)
    said, _ = run("predict", "v1", video, "--faces", "none", "--device", "cpu", "--json")
    predicted = json.loads(said)["videos"][0]
    assert told["frames"] == predicted["frames"] == [2, 7, 12, 17]
    assert told["seconds"] == predicted["seconds"]
    assert told["probabilities"] == pytest.approx(predicted["probabilities"])
    v1 = load("v1@2")
    expected = [(name, each.text) for name in packed.class_names for each in v1.members[name][0]]
    assert [(each["class_name"], each["descriptor"]) for each in told["descriptors"]] == expected
    assert {len(each["rise"]) for each in told["descriptors"]} == {4}
    assert sum(told["attention"]) + told["attention_on_itself"] == pytest.approx(1)
    assert "6 clips of the training folds" in told["above"]
    assert b"video.mkv" in Path("why.svg").read_bytes()
    assert "Note:" not in err

    out, err = run("explain", "v1", video, "--device", "cpu")
    strongest = max(told["descriptors"], key=lambda each: max(each["rise"]))
    assert strongest["descriptor"] in out
    assert f"video.mkv: {told['expression']}" in out
    assert "not the sum that the model computes" in err
    folder = only_run(isolated)
    (folder / "frame_mean.safetensors").unlink()
    (folder / "texts.json").write_text((folder / "texts.json").read_text().replace("v1@2", "v9"))
    _, err = run("explain", "v1", video, status=2)
    assert "--descriptions V" in err
    out, _ = run("explain", "v1", video, "--descriptions", "v1@1", "--device", "cpu", "--json")
    assert len(json.loads(out)["descriptors"]) == 3
    _, err = run("explain", "v1", video, "--plot", "why.jpg", status=2)
    assert ".png or .svg" in err
    _, err = run("explain", "v1", "nothing.mp4", "--descriptions", "v1@1", status=2)
    assert "no video nothing.mp4" in err
