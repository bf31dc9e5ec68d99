"""`data features`: the table for clips, videos and texts, computed by open_clip on the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest

from dfer_prompts import InputError, compare, data_features, load

from .. import open_clip_demo as by_hand
from .test_train import Terminal

DEMO = ["--preset", "demo", "--set", "workers=0", "--device", "cpu"]
EIGHT = by_hand.sampled(20, 8)  # of preset demo


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def stacked(rows: pandas.DataFrame) -> np.ndarray:
    return np.stack(list(rows["feature"]))


def test_clips_and_texts(run: Terminal, isolated: Path) -> None:
    clips = by_hand.pack(isolated / "packed", load("v1").class_names)
    expected = []
    for number in range(len(clips)):
        frames = by_hand.drawn(number)[1]
        expected.append(by_hand.image_features([frames[place] for place in EIGHT]).numpy())
    words = ["data", "features", "packed", "--out", "clips.parquet", "--descriptions", "v1@2", *DEMO]
    out, _ = run(*words, "--json")
    assert json.loads(out) == {
        "path": "clips.parquet",
        "rows": {"clip": 3, "text": 11},
        "width": 128,
        "clip": "demo",
        "weights": "shipped",
    }
    table = pandas.read_parquet("clips.parquet")
    images, texts = table[table["kind"] == "clip"], table[table["kind"] == "text"]
    assert list(images["clip_id"]) == clips.clip_ids
    assert list(images["class_name"]) == [by_hand.drawn(number)[0] for number in range(3)]
    assert list(images["fold"]) == [1, 2, 1]
    np.testing.assert_allclose(stacked(images), [each.mean(axis=0) for each in expected], atol=1e-4)
    sentences = [load("v1@2").description(name) for name in clips.class_names]
    assert list(zip(texts["class_name"], texts["text"], strict=True)) == list(
        zip(clips.class_names, sentences, strict=True)
    )
    np.testing.assert_allclose(stacked(texts), by_hand.text_features(sentences).numpy(), atol=1e-5)
    facts = json.loads(parquet.read_schema("clips.parquet").metadata[b"dfer-prompts"])
    assert (facts["frames"], facts["fingerprint"]) == (8, clips.fingerprint)
    assert facts["descriptions_sha256"] == load("v1@2").sha256

    out, _ = run("data", "features", "packed", "--out", "frames.parquet", "--level", "frame", *DEMO)
    assert "frames.parquet: 24 frame features of demo (shipped), 128 numbers each" in out
    frames = pandas.read_parquet("frames.parquet")
    assert list(frames["frame"]) == EIGHT * 3
    np.testing.assert_allclose(stacked(frames), np.concatenate(expected), atol=1e-4)


def test_the_cache_is_that_of_screening(isolated: Path) -> None:
    clips = by_hand.pack(isolated / "packed", load("v1").class_names)
    here: Any = {"preset": "demo", "overrides": ["workers=0"], "device": "cpu"}
    written = data_features(clips, "clips.parquet", **here)
    cached = {path: path.stat().st_mtime_ns for path in (isolated / ".dfer" / "features").glob("*.npy")}
    assert (written.rows, len(cached)) == ({"clip": 3}, 2)  # a block per fold
    compare("v1@1", "v1@2", dataset=clips, screen=True, folds=[1], seeds=[1], epochs=0, **here)
    after = {path: path.stat().st_mtime_ns for path in (isolated / ".dfer" / "features").glob("*.npy")}
    assert after == cached


def test_a_video(run: Terminal, isolated: Path) -> None:
    frames = by_hand.drawn()[1]
    video = by_hand.lossless(isolated / "face.mkv", frames)
    options = ["--faces", "none", *DEMO]
    run("data", "features", video, "--out", "clip.parquet", *options)
    (row,) = pandas.read_parquet("clip.parquet").to_dict("records")
    taken = by_hand.image_features([frames[place] for place in EIGHT]).numpy()
    assert (row["kind"], row["clip_id"], row["start"], row["end"]) == ("clip", str(video), 0, 2)
    np.testing.assert_allclose(row["feature"], taken.mean(axis=0), atol=1e-4)
    # Windows of 1 second, half a second apart, at 10 frames a second: frames 0-9, 5-14 and 10-19.
    halves = ["--window", "1", "--stride", "0.5", "--set", "frames=5", *options]
    sets = [[first + 1 + 2 * place for place in range(5)] for first in (0, 5, 10)]
    every = by_hand.image_features(frames).numpy()
    run("data", "features", video, "--out", "windows.parquet", *halves)
    table = pandas.read_parquet("windows.parquet")
    assert list(zip(table["start"], table["end"], strict=True)) == [(0, 1), (0.5, 1.5), (1, 2)]
    np.testing.assert_allclose(stacked(table), [every[each].mean(axis=0) for each in sets], atol=1e-4)
    # With all 10 frames of each window, 10 of the 20 frames are in two windows; they count once.
    whole_windows = ["--window", "1", "--stride", "0.5", "--set", "frames=10", *options]
    run("data", "features", video, "--out", "frames.parquet", "--level", "frame", *whole_windows)
    table = pandas.read_parquet("frames.parquet")
    assert list(table["frame"]) == list(range(20))
    assert list(table["seconds"]) == pytest.approx([frame / 10 for frame in range(20)])
    np.testing.assert_allclose(stacked(table), every, atol=1e-4)
    run("data", "features", video, "--out", "track.parquet", "--level", "track", *whole_windows)
    (row,) = pandas.read_parquet("track.parquet").to_dict("records")
    assert (row["start"], row["end"]) == (0, 2)
    np.testing.assert_allclose(row["feature"], every.mean(axis=0), atol=1e-4)


def test_the_tracks_of_real_faces(run: Terminal, test_data: Path) -> None:
    picture = test_data / "faces" / "multi_face.jpg"
    yunet = ["--face-model", test_data / "models" / "yunet.onnx", "--track", "all"]
    run("data", "features", picture, "--out", "faces.parquet", "--level", "track", *yunet, *DEMO)
    table = pandas.read_parquet("faces.parquet")
    assert list(table["track"]) == [1, 2, 3, 4, 5]
    assert len({tuple(each) for each in table["feature"]}) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["packed", "--out", "x.csv"], "the file name must end in .parquet"),
        (["packed", "--out", "x.parquet", "--level", "track"], "--level track is for videos"),
        (["packed", "--out", "x.parquet", "--set", "test_crops=3"], "Give --set test_crops=1"),
        (["packed", "--out", "x.parquet", "--set", "classifier=c3d"], "classifier=c3d has no CLIP"),
        (["nowhere", "--out", "x.parquet"], "no dataset 'nowhere'"),
        (["absent.mp4", "--out", "x.parquet"], "no video absent.mp4"),
        (["face.mkv", "--out", "x.parquet", "--faces", "haar"], "no face was found in face.mkv"),
    ],
)
def test_invalid_inputs_are_errors_and_no_file_is_written(
    run: Terminal, isolated: Path, words: list[str], message: str
) -> None:
    if words[0] == "packed":
        by_hand.pack(isolated / "packed", load("v1").class_names)
    by_hand.lossless(isolated / "face.mkv", [np.full((64, 64, 3), 90, np.uint8)] * 3)
    _, err = run("data", "features", *words, *DEMO, status=2)
    assert message in err
    assert not list(isolated.glob("*x.*"))


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(InputError, match="no level 'face'"):
        data_features("packed", "x.parquet", level="face")  # type: ignore[arg-type]
