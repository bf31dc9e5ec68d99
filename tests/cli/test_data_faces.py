"""`data prepare folder --faces`: one's own videos become clips of faces, and those without are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer_model.data.images import Pixels, decode_pixels
from dfer_model.data.packed import PackedClips

from .test_predict import write
from .test_train import Terminal

WALL = np.full((120, 160, 3), 90, np.uint8)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def portrait(test_data: Path) -> Pixels:
    return decode_pixels((test_data / "faces" / "single_face.jpg").read_bytes())[::2, ::2]


def own(root: Path, portrait: Pixels) -> Path:
    """Two clips with a face, a video and a folder of frames, and one of a wall."""
    for name in ("Happy", "Sad"):
        (root / name).mkdir(parents=True)
    write(root / "Happy" / "smile.mp4", [portrait] * 4)
    write(root / "Happy" / "wall.mp4", [WALL] * 4)
    (root / "Sad" / "frown").mkdir()
    for number in range(3):
        Image.fromarray(portrait).save(root / "Sad" / "frown" / f"{number}.png")
    return root


def test_faces_are_cut_out_and_clips_without_are_reported(
    run: Terminal, portrait: Pixels, isolated: Path
) -> None:
    root = own(isolated / "own", portrait)
    words = ["data", "prepare", "folder", "--root", root, "--jobs", 1]
    out, err = run(*words, "--out", "clips", "--faces", "auto")
    assert "Faces are detected by the Haar cascade" in err
    assert "Left out because no face was found: 1 (named in prepare.json)" in out
    clips = PackedClips.open(isolated / "clips")
    report = json.loads((isolated / "clips" / "prepare.json").read_text())
    assert report["no_face"] == ["wall"]
    assert report["faces"] == ["haar", 0.2]
    assert sorted(int(each) for each in clips.num_frames) == [3, 4]
    for index in range(2):
        for encoded in clips.encoded_frames(index, range(int(clips.num_frames[index]))):
            pixels = decode_pixels(encoded)
            assert pixels.shape[0] == pixels.shape[1] < portrait.shape[0]
    _, err = run(*words, "--out", "clips", "--faces", "haar")
    assert "packed already" in err
    _, err = run(*words, "--out", "clips", status=2)
    assert "contains other clips already" in err


def test_no_face_anywhere_and_layouts_without_faces(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    root = own(isolated / "own", portrait)
    (root / "Happy" / "smile.mp4").unlink()
    shutil.rmtree(root / "Sad" / "frown")
    words = ["data", "prepare", "folder", "--root", root, "--out", "clips", "--jobs", 1]
    _, err = run(*words, "--faces", "haar", status=2)
    assert "no face was found in any of the 1 clips" in err
    _, err = run("data", "prepare", "dfew", "--root", root, "--out", "x", "--faces", "haar", status=2)
    assert "--faces requires the layout folder" in err
