"""`explain` from the command line, on a video of the test's own: what it prints, draws and refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dfer_model.data.images import encode_jpeg
from dfer_model.data.packed import PackedClips
from dfer_model.data.video import decode_video
from dfer_model.evaluation.calibration import Calibration, write_calibration
from dfer_model.training.loop import train_run
from dfer_model.video.detect import YuNet
from dfer_model.video.footage import open_footage
from dfer_model.video.passes import FaceOptions, face_frames
from dfer_prompts import load

from ..model import tiny
from ..model.evaluation.test_classify import encode
from .test_predict import write
from .test_train import Terminal, only_run, train_words


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_an_explanation_has_frames_and_probabilities_of_predict(
    run: Terminal, packed: PackedClips, isolated: Path
) -> None:
    run(*train_words(packed), "--epochs", "1")
    video = encode(isolated / "video.mkv", frames=20)
    options = ["--faces", "none", "--device", "cpu"]
    out, err = run("explain", "v1@2-fold1", video, "--plot", "why.svg", *options, "--json")
    printed = json.loads(out)
    result, _ = run("predict", "v1@2-fold1", video, *options, "--json")
    predicted = json.loads(result)["videos"][0]
    assert printed["frames"] == predicted["frames"] == [2, 7, 12, 17]
    assert printed["seconds"] == predicted["seconds"]
    assert printed["probabilities"] == pytest.approx(predicted["probabilities"])
    v1 = load("v1@2")
    expected = [(name, each.text) for name in packed.class_names for each in v1.members[name][0]]
    assert [(each["class_name"], each["descriptor"]) for each in printed["descriptors"]] == expected
    assert {len(each["rise"]) for each in printed["descriptors"]} == {4}
    assert sum(printed["attention"]) + printed["attention_on_itself"] == pytest.approx(1)
    assert "6 clips of the training folds" in printed["above"]
    assert b"video.mkv" in Path("why.svg").read_bytes()
    (frames,) = (line for line in err.splitlines() if "Note:" in line)
    assert frames.startswith("Note: Whole frames are used")

    out, err = run("explain", "v1@2-fold1", video, *options)
    strongest = max(printed["descriptors"], key=lambda each: max(each["rise"]))
    assert strongest["descriptor"] in out
    assert f"video.mkv, 0.0 to 2.0 s: {printed['expression']} (" in out
    assert "not a decomposition of the prediction" in err
    folder = only_run(isolated)
    (folder / "frame_mean.safetensors").unlink()
    (folder / "texts.json").write_text((folder / "texts.json").read_text().replace("v1@2", "v9"))
    tiny.without_digests(folder)
    _, err = run("explain", "v1@2-fold1", video, status=2)
    assert "--descriptions V" in err
    out, _ = run("explain", "v1@2-fold1", video, "--descriptions", "v1@1", *options, "--json")
    assert len(json.loads(out)["descriptors"]) == 3
    _, err = run("explain", "v1@2-fold1", video, "--plot", "why.jpg", status=2)
    assert ".png or .svg" in err
    _, err = run("explain", "v1@2-fold1", "nothing.mp4", "--descriptions", "v1@1", status=2)
    assert "no video nothing.mp4" in err


@pytest.fixture(scope="module")
def several(packed: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibrated run that takes 2 samples of 4 frames."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    spec = tiny.spec(packed, epochs=0, test_segments=2, test_crops=3)
    trained = train_run(spec, packed, folder, device="cpu")
    write_calibration(trained, Calibration(40.0, "a test", 3, "f" * 8, tiny.CLASSES))
    return folder


@pytest.fixture
def face(several: Path, test_data: Path, isolated: Path) -> Path:
    """A small video of a real face, dark at last, 2.4 s at 10 a second, in a workspace with that run."""
    shutil.copytree(several, isolated / "runs")
    Path("dfer.yaml").write_text(f"face_model: {test_data / 'models' / 'yunet.onnx'}\n")
    frames = list(decode_video(test_data / "faces" / "single_face.mp4"))[::3]
    small = [frame[::2, ::2] // (2 if number > 11 else 1) for number, frame in enumerate(frames)]
    return write(isolated / "face.mp4", small)


BY = ("--descriptions", "v1@2", "--device", "cpu")


def test_the_window_is_one_of_predict(run: Terminal, face: Path) -> None:
    options = [face, "--window", "1", "--stride", "0.5", "--json"]
    out, _ = run("predict", "v1@2-fold1", *options, "--device", "cpu")
    windows = json.loads(out)["videos"][0]["windows"]
    assert [each["start"] for each in windows] == [0, 0.5, 1, 1.4]
    surest = max(windows, key=lambda each: max(each["probabilities"].values()))
    assert surest != windows[0]
    for words, expected in [((), surest), (("--at", "0.6"), windows[0]), (("--at", "0.8"), windows[1])]:
        out, err = run("explain", "v1@2-fold1", *options, *words, *BY)
        output = json.loads(out)
        for key in ("probabilities", "start", "end", "track", "box"):
            assert output[key] == expected[key]
        assert output["frames"] == sorted(expected["frames"])
        assert output["seconds"] == sorted(expected["seconds"])
        assert ("the most confident of 4 windows is explained" in err) == (not words)
        assert "the prediction uses 3 crops of each frame" in err
        assert "logits are divided by 40" in err
    _, err = run("explain", "v1@2-fold1", *options, "--at", "7", *BY, status=2)
    assert re.search(r"no prediction window covers t = 7 s in .*\nIts windows cover 0.0 to 2.4 s", err)


def test_a_video_without_a_face_and_faces_that_are_given(run: Terminal, face: Path, test_data: Path) -> None:
    encode(Path("grey.mkv"), frames=3)
    _, err = run("explain", "v1@2-fold1", "grey.mkv", *BY, status=2)
    assert "Error: no face was found in grey.mkv (3 frames)\nUse whole frames: --faces none\n" in err
    _, err = run("explain", "v1@2-fold1", face, "--track", "6", *BY, status=2)
    assert "has no track 6; it has 1" in err
    Path("clip").mkdir()
    yunet = FaceOptions(YuNet(test_data / "models" / "yunet.onnx"))
    for number, crop in enumerate(face_frames(open_footage(face), yunet)):
        Path("clip", f"{number}.jpg").write_bytes(encode_jpeg(crop))
    found, given = (
        json.loads(run("explain", "v1@2-fold1", *words, "--json", *BY)[0])
        for words in ([face], ["clip", "--faces", "given"])
    )
    assert found["frames"] == given["frames"]
    assert found["probabilities"] == pytest.approx(given["probabilities"], abs=0.02)  # JPEG's own loss
