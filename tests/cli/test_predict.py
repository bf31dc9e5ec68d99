"""`predict` on raw videos from the command line: what it prints, writes, and says of odd ones."""

from __future__ import annotations

import csv
import io
import json
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as parquet
import pytest
import yaml
from PIL import Image

from dfer_model.data.images import Pixels, decode_pixels

from ..model import tiny
from .test_train import Terminal


@pytest.fixture
def portrait(test_data: Path) -> Pixels:
    """A face of real footage, 286 x 280."""
    return decode_pixels((test_data / "faces" / "single_face.jpg").read_bytes())[::2, ::2]


def write(
    path: Path,
    frames: list[Pixels],
    *,
    rate: int = 10,
    times: list[int] | None = None,
    grey: bool = False,
    codec: str = "mpeg4",
) -> Path:
    """A video of the frames; `times` are theirs in hundredths of a second."""
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray" if grey else "yuv420p"
        stream.bit_rate = 4_000_000
        if times:
            stream.codec_context.time_base = Fraction(1, 100)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels[:height, :width], format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def only(out: str) -> dict:
    (video,) = json.loads(out)["videos"]
    return video


def test_real_footage_as_table_json_csv_and_parquet(run: Terminal, test_data: Path) -> None:
    video = test_data / "faces" / "single_face.mp4"
    words = [
        "predict",
        "v1@2-fold1",
        video,
        "--face-model",
        test_data / "models" / "yunet.onnx",
        "--device",
        "cpu",
    ]
    out, err = run(*words, "--csv", "rows.csv", "--parquet", "rows.parquet", "--save-faces", "faces")
    assert "single_face.mp4" in out
    assert all(name in out for name in tiny.CLASSES)
    assert "Haar" not in err
    (row,) = csv.DictReader(Path("rows.csv").read_text().splitlines())
    assert (row["file"], row["track"], row["start"], row["end"]) == (str(video), "1", "0.0", "2.4")
    assert sum(float(row[f"p_{name}"]) for name in tiny.CLASSES) == pytest.approx(1)
    left, top, right, bottom = (float(row[side]) for side in ("left", "top", "right", "bottom"))
    assert left < 290 < right  # where the man's nose is
    assert top < 200 < bottom
    (stored,) = parquet.read_table("rows.parquet").to_pylist()
    assert {name: str(value) for name, value in stored.items()} == row
    assert len(list(Path("faces/single_face.mp4/track-1").iterdir())) == 4
    out, _ = run(*words, "--window", "1", "--stride", "0.5", "--json")
    assert json.loads(out)["detector"] == "yunet"
    only_video = only(out)
    assert [(each["start"], each["end"]) for each in only_video["windows"]] == [
        (0, 1),
        (0.5, 1.5),
        (1, 2),
        (1.4, 2.4),
    ]
    assert (only_video["frames_in_all"], only_video["tracks_found"]) == (72, 1)


def test_a_video_without_a_face_has_no_predictions(run: Terminal, isolated: Path) -> None:
    video = write(isolated / "wall.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5)
    out, err = run("predict", "v1@2-fold1", video, "--json", "--csv", "rows.csv", "--device", "cpu")
    assert "Faces are detected by the Haar cascade" in err
    assert "no face was found" in err
    assert only(out)["windows"] == []
    assert Path("rows.csv").read_text().count("\n") == 1
    run("predict", "v1@2-fold1", video, "--require-face", "--device", "cpu", status=1)


def test_a_folder_and_standard_input(
    run: Terminal, portrait: Pixels, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "videos").mkdir()
    for name in ("10.mp4", "2.mp4"):
        write(isolated / "videos" / name, [portrait] * 3)
    (isolated / "videos" / "notes.txt").write_text("not a video")
    for name in ("cover.jpg", "scan.pdf", "talk.docx", ".hidden"):
        (isolated / "videos" / name).touch()
    out, err = run("predict", "v1@2-fold1", "videos", "--json", "--device", "cpu")
    assert (
        "skipped in videos, 4 files without the name of a video: cover.jpg, notes.txt, scan.pdf and 1 more"
        in err
    )
    videos = json.loads(out)["videos"]
    assert [each["video"] for each in videos] == ["videos/2.mp4", "videos/10.mp4"]
    piped = io.TextIOWrapper(io.BytesIO((isolated / "videos" / "2.mp4").read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    found, _ = run("predict", "v1@2-fold1", "-", "--json", "--device", "cpu")
    assert only(found)["video"] == "-"
    assert only(found)["windows"][0]["probabilities"] == videos[0]["windows"][0]["probabilities"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    _, err = run("predict", "v1@2-fold1", "-", "--device", "cpu", status=2)
    assert "- is empty: zero bytes" in err
    Path("empty").mkdir()
    _, err = run("predict", "v1@2-fold1", "empty", "--device", "cpu", status=2)
    assert "no video in the folder empty" in err


def test_given_crops_are_used_unchanged(run: Terminal) -> None:
    for clip in ("one", "two"):
        Path("crops", clip).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (40, 40), (20 * number,) * 3).save(Path("crops", clip, f"{number}.png"))
    out, err = run(
        "predict", "v1@2-fold1", "crops/one", "crops/two", "--faces", "given", "--json", "--device", "cpu"
    )
    printed = json.loads(out)
    assert printed["frames_are"] == "given"
    assert "Whole frames are used" not in err
    one, two = printed["videos"]
    assert one["frames"] == [1, 4, 7, 10]  # t = 3 of 12: 1.5 + 3 i
    assert one["probabilities"] == two["probabilities"]
    assert "25 frames per second" in one["notes"][0]


def test_a_timeline_and_an_overlay(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    video = write(isolated / "clip.mp4", [portrait] * 5)
    run("predict", "v1@2-fold1", video, "--plot", "time.svg", "--overlay", "over.mp4", "--device", "cpu")
    assert "clip.mp4, track 1" in Path("time.svg").read_text()
    with av.open("over.mp4") as container:
        assert len(list(container.decode(video=0))) == 5
    _, err = run("predict", "v1@2-fold1", video, video, "--overlay", "over.mp4", "--device", "cpu", status=2)
    assert "--overlay takes one video, not 2" in err
    wall = write(isolated / "wall.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 3)
    _, err = run(
        "predict", "v1@2-fold1", wall, "--plot", "none.png", "--overlay", "wall-over.mp4", "--device", "cpu"
    )
    assert "none.png is not written" in err
    assert Path("wall-over.mp4").is_file()


def say(run: Terminal, video: Path, status: int = 0) -> tuple[dict, str]:
    out, err = run(
        "predict", "v1@2-fold1", video, "--faces", "haar", "--json", "--device", "cpu", status=status
    )
    return only(out), err


def test_unusual_videos(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    output, _ = say(run, write(isolated / "one.mp4", [portrait]))
    assert (output["frames_in_all"], output["windows"][0]["frames"]) == (1, [0, 0, 0, 0])
    output, _ = say(run, write(isolated / "grey.avi", [portrait] * 5, grey=True, codec="ffv1"))
    assert (len(output["windows"]), output["windows"][0]["track"]) == (1, 1)
    times = [0, 10, 20, 30, 150, 160, 260]
    output, _ = say(run, write(isolated / "variable.mkv", [portrait] * 7, rate=100, times=times))
    assert output["windows"][0]["seconds"] == [0.0, 0.2, 1.5, 2.6]  # 7 frames, t = 1.75: 0, 2, 4, 6
    square = np.zeros((2160, 3840, 3), np.uint8)
    side = np.repeat(np.repeat(portrait, 7, axis=0), 7, axis=1)[:1960, :2000]
    square[100:2060, 900:2900] = side
    output, _ = say(run, write(isolated / "4k.mp4", [square] * 2))
    left, top, right, bottom = output["windows"][0]["box"]
    assert left < 1890 < right
    assert top < 1050 < bottom
    Image.fromarray(portrait).save("picture.jpg")
    output, err = say(run, isolated / "picture.jpg")
    assert "is an image, not a video" in err
    assert len(output["windows"]) == 1


def test_a_rotated_video(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    import struct

    lying = np.ascontiguousarray(np.rot90(portrait))
    path = write(isolated / "sideways.mp4", [lying] * 3)
    assert say(run, path)[0]["windows"] == []
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    struct.pack_into(">5i", data, matrix, 0, 1 << 16, 0, -(1 << 16), 0)  # a quarter turn clockwise
    path.write_bytes(data)
    assert len(say(run, path)[0]["windows"]) == 1


def test_a_header_without_a_frame_rate(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    path = write(isolated / "norate.avi", [portrait] * 4)
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 8
    data[header + 20 : header + 28] = bytes(8)  # dwScale and dwRate of the stream
    data[data.index(b"avih") + 8 : data.index(b"avih") + 12] = bytes(4)  # microseconds a frame
    path.write_bytes(data)
    output, _ = say(run, path)
    assert output["frames_in_all"] == 4
    seconds = output["windows"][0]["seconds"]
    assert seconds == sorted(set(seconds))


def test_frames_before_the_damage_are_used(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(portrait + rng.integers(0, 9, portrait.shape), 0, 255).astype(np.uint8) for _ in range(30)
    ]
    path = write(isolated / "cut.mkv", noisy)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    output, err = say(run, path, status=2)
    assert "cut off or damaged after frame" in err
    assert "cut off or damaged" in output["error"]
    assert 0 < output["frames_in_all"] < 30
    assert len(output["windows"]) == 1


def test_files_that_are_not_videos_are_refused(run: Terminal, isolated: Path) -> None:
    with wave.open("sound.wav", "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    with av.open("song.mp4", "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    Path("zero.mp4").touch()
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    names = ["sound.wav", "song.mp4", "zero.mp4", "broken.jpg", "absent.mp4"]
    out, err = run("predict", "v1@2-fold1", *names, "--json", "--device", "cpu", status=2)
    assert ["error" in each for each in json.loads(out)["videos"]] == [True] * 5
    for message in ("not a video", "song.mp4 has no video stream", "zero bytes", "broken.jpg is damaged"):
        assert message in err
    assert "no video absent.mp4" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--track", "tallest"], "--track tallest is not a track"),
        (["--window", "0"], "--window is 0 seconds"),
        (["--csv", "rows.txt"], "the file name must end in .csv"),
        (["--face-model", "absent.onnx"], "face model absent.onnx does not exist"),
        (["--margin", "-1"], "--margin -1"),
        (["--every", "0"], "--every is 0"),
    ],
)
def test_invalid_options_are_refused(run: Terminal, words: list[str], message: str) -> None:
    _, err = run("predict", "v1@2-fold1", "video.mp4", *words, "--device", "cpu", status=2)
    assert message in err


def test_the_face_model_of_dfer_yaml(run: Terminal, test_data: Path, isolated: Path) -> None:
    Path("dfer.yaml").write_text(f"face_model: {test_data / 'models' / 'yunet.onnx'}\n")
    picture = test_data / "faces" / "multi_face.jpg"
    out, _ = run("predict", "v1@2-fold1", picture, "--track", "all", "--json", "--device", "cpu")
    assert len(only(out)["windows"]) == 5


def test_the_same_from_python(run: Terminal, portrait: Pixels, isolated: Path) -> None:
    from dfer_prompts import from_pretrained, predict

    video = write(isolated / "clip.mp4", [portrait] * 15)
    out, _ = run(
        "predict", "v1@2-fold1", video, "--faces", "haar", "--window", "1", "--json", "--device", "cpu"
    )
    model = from_pretrained(next((isolated / "runs").iterdir()), device="cpu")
    for each in ("v1@2-fold1", model):
        found = predict(each, [video], faces="haar", window=1, device="cpu")
        assert [each.as_dict() for each in found] == only(out)["windows"]
        assert [(each.start, each.end) for each in found] == [(0, 1), (0.5, 1.5)]


def test_a_model_trained_on_drawn_faces_has_a_warning(
    run: Terminal, portrait: Pixels, isolated: Path
) -> None:
    video = write(isolated / "clip.mp4", [portrait] * 3)
    _, err = run("predict", "v1@2-fold1", video, "--device", "cpu")
    assert "drawn faces" not in err
    config = next((isolated / "runs").iterdir()) / "config.yaml"
    config_values = yaml.safe_load(config.read_text())
    config_values["dataset"]["name"] = "drawn"
    config.write_text(yaml.safe_dump(config_values))
    tiny.without_digests(config.parent)
    _, err = run("predict", "v1@2-fold1", video, "--device", "cpu")
    assert (
        "Note: the model was trained on drawn faces: its predictions for real footage are meaningless" in err
    )
    _, err = run("predict", "v1@2-fold1", "--camera", video, "--device", "cpu")
    assert "trained on drawn faces" in err
    (isolated / "12:30.mp4").write_bytes(video.read_bytes())
    run("predict", "v1@2-fold1", "12:30.mp4", "--overlay", "13:45.mp4", "--device", "cpu")
    with av.open(f"file:{isolated / '13:45.mp4'}") as container:
        assert len(list(container.decode(video=0))) == 3
