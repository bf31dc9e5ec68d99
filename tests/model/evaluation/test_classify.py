"""Prediction of videos, on real footage and on videos encoded by the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError
from dfer_model.evaluation.classify import predict
from dfer_model.evaluation.evaluate import predict_logits
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    clips = tiny.pack(folder / "packed")
    return train_run(tiny.spec(clips, lr_image=1e-3), clips, folder / "runs", device="cpu")


def encode(path: Path, frames: int, rate: int = 10) -> Path:
    """A video of so many grey frames, each brighter than the last, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "bgr0"
        for number in range(frames):
            pixels = np.full((40, 48, 3), 5 * number, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_an_encoded_video_is_classified(run: Run, tmp_path: Path) -> None:
    video = encode(tmp_path / "video.mkv", frames=20)
    (prediction,) = predict(run, [video], device="cpu")
    # 20 frames, 4 taken: t = 5, int(2.5 + 5 i); at 10 frames a second
    assert prediction.frames == (2, 7, 12, 17)
    assert prediction.seconds == (0.2, 0.7, 1.2, 1.7)
    assert list(prediction.probabilities) == list(tiny.CLASSES)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert prediction.probabilities[prediction.expression] == max(prediction.probabilities.values())


def with_settings(run: Run, **changed: Any) -> Run:
    """The run as if it had been trained with these settings of a test."""
    return replace(run, config=run.config | {"settings": run.config["settings"] | changed})


@pytest.mark.usefixtures("bf16_processor")
@pytest.mark.parametrize("changed", [{}, {"test_segments": 2, "test_crops": 3}, {"precision": "bf16"}])
def test_a_video_and_its_packed_frames_have_equal_predictions(
    run: Run, tmp_path: Path, changed: dict[str, Any]
) -> None:
    from PIL import Image

    usual, run = run, with_settings(run, **changed)
    frames = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (48, 40), (5 * number,) * 3).save(path)
        frames.append(path.read_bytes())
    row = {"clip_id": "grey", "class_name": "fear", "fold": 0, "source": "test", "frames": frames}
    clips = write_packed([row], tiny.CLASSES, tmp_path / "packed", {})
    logits = predict_logits(load_trained(run, CPU), clips, np.array([0]), run.settings, CPU)[0]
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    (prediction,) = predict(run, [encode(tmp_path / "video.mkv", frames=20)], device="cpu")
    np.testing.assert_allclose(list(prediction.probabilities.values()), expected, atol=1e-4)
    (other,) = predict(usual, [tmp_path / "video.mkv"], device="cpu")
    assert (other.probabilities == prediction.probabilities) == (not changed)
    # Of two segments of 20 frames, one begins at a quarter of every five, one at three quarters.
    segments = (1, 6, 11, 16, 3, 8, 13, 18)
    assert prediction.frames == (segments if "test_segments" in changed else (2, 7, 12, 17))


def test_a_short_video_repeats_its_last_frame(run: Run, tmp_path: Path) -> None:
    (prediction,) = predict(run, [encode(tmp_path / "short.mkv", frames=2)], device="cpu")
    assert prediction.frames == (0, 1, 1, 1)


def test_real_footage(run: Run, test_data: Path) -> None:
    (prediction,) = predict(run, [test_data / "faces" / "single_face.mp4"], device="cpu")
    # 72 frames at 30 a second, 4 taken: t = 18, int(9 + 18 i)
    assert prediction.frames == (9, 27, 45, 63)
    assert prediction.seconds == pytest.approx((0.3, 0.9, 1.5, 2.1), abs=0.01)
    assert prediction.as_dict()["expression"] in tiny.CLASSES


def test_an_unreadable_file_is_named(run: Run, tmp_path: Path) -> None:
    good = encode(tmp_path / "good.mkv", frames=30)
    complete = good.read_bytes()
    wrong = {
        "text.mp4": (b"this is no video\n" * 50, "text.mp4"),
        "empty.mp4": (b"", "zero bytes"),
        "cut.mkv": (complete[: len(complete) // 2], "cut"),
    }
    for name, (content, message) in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            predict(run, [good, tmp_path / name], device="cpu")
        assert name in str(caught.value)
    with pytest.raises(InputError, match=r"missing\.mp4"):
        predict(run, [tmp_path / "missing.mp4", good], device="cpu")


def test_an_unfinished_run(run: Run, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run.folder, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "result.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        predict(Run.open(tmp_path / "unfinished"), [tmp_path / "video.mp4"], device="cpu")
