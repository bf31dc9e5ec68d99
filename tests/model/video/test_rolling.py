"""Rolling windows: the predictions of `predict`, for files and live sources, with bounded memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from dfer_model.data.images import Pixels
from dfer_model.data.video import TimedFrame, decode_video
from dfer_model.errors import InputError, WorkError
from dfer_model.training.loop import train_run
from dfer_model.video.camera import Source, open_source
from dfer_model.video.detect import Face, YuNet
from dfer_model.video.export_predictions import CsvRows
from dfer_model.video.footage import Footage, open_footage
from dfer_model.video.passes import FaceOptions
from dfer_model.video.predict_video import WindowPredictor
from dfer_model.video.rolling import Rolled, rolling
from dfer_model.video.windows import Spacing

from .. import tiny
from ..evaluation.test_classify import encode
from .test_predict_video import Bright, Reel


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> WindowPredictor:
    folder = tmp_path_factory.mktemp("run")
    clips = tiny.pack(folder / "packed")
    return WindowPredictor.of(
        train_run(tiny.spec(clips, epochs=1), clips, folder / "runs", device="cpu"), "cpu"
    )


def rolled(predictor: WindowPredictor, source: Source, face_options: FaceOptions) -> list[Rolled]:
    return [window for glance in rolling(predictor, source, face_options) for window in glance.windows]


@pytest.mark.parametrize(("count", "rate"), [(23, 10), (20, 10), (47, 30), (6, 10), (1, 10)])
@pytest.mark.parametrize("spacing", [Spacing(1, 0.5), Spacing(1, 0.3), Spacing(0.4, 0.7), Spacing(1)])
def test_windows_of_a_file_are_those_of_predict(
    predictor: WindowPredictor, tmp_path: Path, count: int, rate: int, spacing: Spacing
) -> None:
    video = encode(tmp_path / "video.mkv", frames=count, rate=rate)
    face_options = FaceOptions(None, spacing=spacing)
    expected = predictor.predict(open_footage(video), face_options).predictions
    windows = rolled(predictor, open_source(str(video)), face_options)
    assert [(each.start, each.end) for each in windows] == [(each.start, each.end) for each in expected]
    assert tuple(one for each in windows for one in each.predictions) == expected


def lossless(path: Path, frames: list[Pixels]) -> Path:
    """A video of the frames as they are, at 10 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_window_of_a_face_equals_a_video_of_the_same_seconds(
    predictor: WindowPredictor, test_data: Path, tmp_path: Path
) -> None:
    footage = list(decode_video(test_data / "faces" / "single_face.mp4"))
    frames = [np.ascontiguousarray(frame[::2, ::2]) for frame in footage[::3]]
    source = open_source(str(lossless(tmp_path / "whole.mkv", frames)))
    face_options = FaceOptions(YuNet(test_data / "models" / "yunet.onnx"), spacing=Spacing(1, 0.5))
    windows = rolled(predictor, source, face_options)
    alone = replace(face_options, spacing=Spacing())
    for window, first in zip(windows, (0, 5, 10, 14), strict=True):
        cut_out = open_footage(lossless(tmp_path / "cut.mkv", frames[first : first + 10]))
        (expected,) = predictor.predict(cut_out, alone).predictions
        (prediction,) = window.predictions
        assert prediction.probabilities == expected.probabilities
        assert prediction.frames == tuple(first + frame for frame in expected.frames)
        assert (prediction.start, prediction.end) == pytest.approx((first / 10, first / 10 + 1))
    # Over the whole, boxes are smoothed across the ends of a window too.
    for each, expected in zip(
        windows, predictor.predict(source.footage, face_options).predictions, strict=True
    ):
        (prediction,) = each.predictions
        assert (prediction.frames, prediction.track) == (expected.frames, expected.track)
        assert prediction.box == pytest.approx(expected.box, abs=1)


class Counting(Bright):
    """Counts its calls."""

    asked = 0

    def __call__(self, pixels: Pixels, /) -> list[Face]:
        self.asked += 1
        return super().__call__(pixels)


def test_a_long_source_is_not_held_and_each_frame_is_searched_once(predictor: WindowPredictor) -> None:
    gc.collect()
    reel, detector = Reel(500, gap=range(250, 400)), Counting()
    face_options = FaceOptions(detector, spacing=Spacing(4, 2))
    seen, windows = [], []
    for glance in rolling(predictor, Source(reel.footage(), live=False), face_options):
        seen.append(glance.faces)
        windows += glance.windows
    assert detector.asked == 500
    assert reel.most_held <= 4.4 * 25 + 2  # a window and the frames that may belong to it
    assert seen[:500] == [0 if 250 <= index < 400 else 1 for index in range(500)]
    # 20 s in windows of 4 s, every 2 s; no face from 10 s to 16 s.
    assert [(each.start, each.end) for each in windows] == [(2.0 * n, 2.0 * n + 4) for n in range(9)]
    nobody = [each.start for each in windows if not each.predictions]
    assert nobody == [10, 12]


def test_faces_of_a_source_are_detected_in_every_fifth_frame(predictor: WindowPredictor) -> None:
    detector = Counting()
    face_options = FaceOptions(detector, spacing=Spacing(1, 0.5), every=5)
    glances = list(
        rolling(predictor, Source(Reel(100, gap=range(11, 30)).footage(), live=False), face_options)
    )
    # Every fifth of 100 frames; and those between two looks where the face comes or goes, once.
    assert detector.asked == 20 + 4 * 4
    assert [glance.faces for glance in glances[:100]] == [1] * 15 + [0] * 15 + [1] * 70
    windows = [window for glance in glances for window in glance.windows]
    assert [(each.start, len(each.predictions)) for each in windows] == [
        *((0.5 * n, 1) for n in range(7)),
    ]


def test_windows_beyond_the_memory_limit_are_refused(
    predictor: WindowPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfer_model.video.rolling.MOST_HELD", 54 * 48 * 64 * 3)
    source = Source(Reel(200).footage(), live=False)
    assert len(rolled(predictor, source, FaceOptions(None, spacing=Spacing(1.9)))) == 8
    with pytest.raises(WorkError, match=r"the frames of 3 seconds of reel(.|\n)*shorter --window"):
        rolled(predictor, source, FaceOptions(None, spacing=Spacing(3)))


def test_a_live_source_gives_the_latest_window(predictor: WindowPredictor) -> None:
    times = [*np.arange(0, 1, 0.1), *np.arange(2.4, 3.25, 0.1)]

    def frames() -> Iterator[TimedFrame]:
        for index, seconds in enumerate(times):
            yield TimedFrame(index, float(seconds), np.full((32, 32, 3), 9 * index, np.uint8))

    footage = Footage(Path("lens"), Path("lens"), frames, 10, 0)
    face_options = FaceOptions(None, spacing=Spacing(1, 0.25))
    every = [each.start for each in rolled(predictor, Source(footage, live=False), face_options)]
    latest = [each.start for each in rolled(predictor, Source(footage, live=True), face_options)]
    assert every == [0, 0.25, 0.5, 0.75, 2.25]
    assert latest == [0.75, 2.25]


@pytest.mark.parametrize("live", [True, False])
def test_windows_end_and_begin_at_a_jump_of_the_timestamps(predictor: WindowPredictor, live: bool) -> None:
    times = [*np.arange(0, 1.35, 0.1), *np.arange(60.05, 61.2, 0.1)]

    def frames() -> Iterator[TimedFrame]:
        for index, seconds in enumerate(times):
            yield TimedFrame(index, float(seconds), np.full((32, 32, 3), 9 * index, np.uint8))

    footage = Footage(Path("lens"), Path("lens"), frames, 10, 0)
    face_options = FaceOptions(None, spacing=Spacing(1, 1))
    spans = [(each.start, each.end) for each in rolled(predictor, Source(footage, live=live), face_options)]
    expected = [(each.start, each.end) for each in predictor.predict(footage, face_options).predictions]
    assert expected == [(0, 1), (0.4, 1.4), (60.05, 61.05), (60.25, 61.25)]
    assert spans == expected


def test_a_row_is_written_before_the_next_window(predictor: WindowPredictor, tmp_path: Path) -> None:
    rows = CsvRows(tmp_path / "new" / "rows.csv", predictor.class_names)
    counts = []
    for glance in rolling(
        predictor, Source(Reel(75).footage(), live=False), FaceOptions(None, spacing=Spacing(1))
    ):
        for window in glance.windows:
            rows.add(window.predictions)
            counts.append((tmp_path / "new" / "rows.csv").read_text().count("\n"))
    rows.close()
    assert counts == [2, 3, 4, 5, 6]  # 3 s in windows of 1, half a second apart, below a header


def test_one_track_by_number_is_refused(predictor: WindowPredictor) -> None:
    with pytest.raises(InputError, match="largest or all"):
        rolled(predictor, Source(Reel(3).footage(), live=False), FaceOptions(Bright(), track=2))
