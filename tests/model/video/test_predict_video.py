"""Video prediction: whole frames, face crops, tracks, and bounded memory."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dfer_model.data.images import Pixels
from dfer_model.data.video import TimedFrame
from dfer_model.errors import InputError, NoFace
from dfer_model.evaluation.classify import predict
from dfer_model.runs import Run
from dfer_model.training.loop import train_run
from dfer_model.video.crop import cut, face_square
from dfer_model.video.detect import Detector, Face, YuNet
from dfer_model.video.export_predictions import FaceFolder
from dfer_model.video.footage import Footage, open_footage, videos_in
from dfer_model.video.passes import FaceOptions, face_frames, follow, shown
from dfer_model.video.predict_video import WindowPredictor
from dfer_model.video.windows import Spacing, windows

from .. import tiny
from ..evaluation.test_classify import encode, with_settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    clips = tiny.pack(folder / "packed")
    return train_run(tiny.spec(clips, epochs=1), clips, folder / "runs", device="cpu")


class Bright:
    """A detector of the bright square in the frames of `Reel`."""

    name = "bright"

    def __call__(self, pixels: Pixels) -> list[Face]:
        ys, xs = np.nonzero(pixels[..., 0] > 200)
        if not len(ys):
            return []
        return [Face((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), 1.0)]


class Reel:
    """A video drawn while it is read, which counts how many of its frames are still referenced."""

    def __init__(self, count: int, gap: range = range(0)) -> None:
        self.count, self.gap = count, gap
        self.held: list[weakref.ref[Pixels]] = []
        self.most_held = 0

    def footage(self) -> Footage:
        return Footage(Path("reel"), Path("reel"), self.frames, 25, self.count)

    def frames(self) -> Iterator[TimedFrame]:
        for index in range(self.count):
            pixels = np.zeros((48, 64, 3), np.uint8)
            if index not in self.gap:
                pixels[10:30, 20:40] = 255
            self.held = [each for each in self.held if each() is not None]
            self.most_held = max(self.most_held, len(self.held))
            self.held.append(weakref.ref(pixels))
            yield TimedFrame(index, index / 25, pixels)


@pytest.mark.parametrize("changed", [{}, {"test_segments": 2, "test_crops": 3}])
def test_predictions_of_whole_frames_are_those_of_predict(
    run: Run, tmp_path: Path, changed: dict[str, int]
) -> None:
    run = with_settings(run, **changed)
    video = encode(tmp_path / "video.mkv", frames=21)
    (plain,) = predict(run, [video], device="cpu")
    (prediction,) = WindowPredictor.of(run, "cpu").predict(open_footage(video), FaceOptions(None)).predictions
    assert prediction.probabilities == plain.probabilities
    assert (prediction.frames, prediction.seconds) == (plain.frames, plain.seconds)
    assert (prediction.start, prediction.end, prediction.track) == (0.0, 2.1, None)


def test_a_window_has_the_face_crops_of_its_frames(tmp_path: Path) -> None:
    reel = Reel(100, gap=range(40, 44))
    footage, face_options = reel.footage(), FaceOptions(Bright(), spacing=Spacing(2, 1), margin=0.0)
    (path,) = follow(footage, face_options).tracks
    planned = list(windows(path, face_options.spacing, 4))
    assert len(planned) == 3
    given = list(shown(footage, [path], planned, face_options))
    assert [window for window, _ in given] == planned
    for _, crops in given:
        assert len(crops) == 4
    assert given[0][0].frames == (6, 18, 31, 43)  # of 50: t = 12.5, 6.25 + 12.5 i
    assert [crop.min() for crop in given[0][1]] == [255, 255, 255, 0]  # the box without margin
    assert given[1][0].frames == (31, 43, 56, 68)  # the same from frame 25 on
    assert given[1][1][1].max() == 0  # the detector missed frame 43: the box is interpolated


class Beside:
    """A detector that finds a small face and a large one in every frame."""

    name = "beside"

    def __call__(self, pixels: Pixels) -> list[Face]:
        return [Face((0, 0, 8, 8), 1.0), Face((20, 10, 40, 30), 1.0)]


def test_windows_of_two_faces_are_yielded_when_complete() -> None:
    footage, face_options = Reel(100).footage(), FaceOptions(Beside(), track="all", spacing=Spacing(2, 1))
    followed = follow(footage, face_options)
    assert (followed.frames, followed.seconds, followed.size) == (100, 4.0, (64, 48))
    planned = [window for path in followed.tracks for window in windows(path, face_options.spacing, 4)]
    given = [window for window, _ in shown(footage, followed.tracks, planned, face_options)]
    assert [(window.track, window.start) for window in given] == [
        (1, 0.0), (2, 0.0), (1, 1.0), (2, 1.0), (1, 2.0), (2, 2.0),
    ]  # fmt: skip


def test_predictions_of_two_faces_are_ordered_by_track(run: Run) -> None:
    face_options = FaceOptions(Beside(), track="all", spacing=Spacing(2, 1))
    predictions = WindowPredictor.of(run, "cpu").predict(Reel(75).footage(), face_options).predictions
    assert [(each.track, each.start) for each in predictions] == [(1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0)]


def test_a_packed_clip_has_the_largest_face() -> None:
    frames = list(face_frames(Reel(5).footage(), FaceOptions(Beside(), margin=0.0)))
    assert [(frame.shape, frame.min()) for frame in frames] == [((20, 20, 3), 255)] * 5


@pytest.mark.parametrize("detector", [Bright(), None])
def test_a_long_video_is_not_held_in_memory(run: Run, detector: Detector | None) -> None:
    gc.collect()
    reel = Reel(600)
    face_options = FaceOptions(detector, spacing=Spacing(4, 2))
    predicted_video = WindowPredictor.of(run, "cpu").predict(reel.footage(), face_options)
    assert len(predicted_video.predictions) == 11  # 24 s in windows of 4 s, every 2 s
    # Whole frames: 4 of each open window, and two windows overlap. Faces: one or two frames.
    assert reel.most_held <= (2 if detector else 2 * 4 + 2)


def test_saved_crops_are_the_input_of_the_model(run: Run, test_data: Path, tmp_path: Path) -> None:
    footage = open_footage(test_data / "faces" / "single_face.mp4")
    face_options = FaceOptions(YuNet(test_data / "models" / "yunet.onnx"), every=9)
    predicted_video = WindowPredictor.of(run, "cpu").predict(
        footage, face_options, keep=FaceFolder(tmp_path / "faces")
    )
    (prediction,) = predicted_video.predictions
    assert prediction.frames == (9, 27, 45, 63)  # of 72: t = 18, 9 + 18 i
    assert (prediction.start, prediction.end, prediction.track) == (0.0, 2.4, 1)
    files = sorted((tmp_path / "faces" / "single_face.mp4" / "track-1").iterdir())
    assert [int(path.stem) for path in files] == list(prediction.frames)
    (path,) = predicted_video.paths
    frame = next(timed for timed in footage.frames() if timed.index == 27)
    expected = cut(frame.pixels, face_square(path.boxes[27], path.eyes[27], 0.2))
    found = np.asarray(Image.open(files[1]))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3  # the loss of JPEG
    # The nose of the man is in the middle of a square that holds his head.
    (face,) = YuNet(test_data / "models" / "yunet.onnx")(found)
    assert face.landmarks is not None
    nose = face.landmarks[2]
    assert np.abs(np.array(nose) / found.shape[0] - 0.5).max() < 0.12
    eyes = face.landmarks[:2]
    assert abs(eyes[0][1] - eyes[1][1]) < 3


class Moving(Reel):
    """Its square moves a pixel to the right every 5 frames."""

    def frames(self) -> Iterator[TimedFrame]:
        for timed in super().frames():
            yield replace(timed, pixels=np.roll(timed.pixels, timed.index // 5, axis=1))


class CountingDetector(Bright):
    """Counts its calls."""

    times = 0

    def __call__(self, pixels: Pixels, /) -> list[Face]:
        self.times += 1
        return super().__call__(pixels)


@pytest.mark.parametrize("every", [1, 5, 7, 20])
def test_boxes_between_detections_are_interpolated_linearly(every: int) -> None:
    reel, detector = Moving(83), CountingDetector()
    followed = follow(reel.footage(), FaceOptions(detector, every=every))
    assert detector.times == math.ceil(83 / every)
    (path,) = followed.tracks
    assert path.frames.tolist() == list(range(83))
    assert path.seconds.tolist() == [index / 25 for index in range(83)]
    truth = 20 + np.arange(83) / 5
    last = 82 // every * every  # after it the face stays where it was
    assert path.boxes[10 : last - 9, 0] == pytest.approx(truth[10 : last - 9], abs=1)
    assert path.boxes[-1, 0] == pytest.approx(20 + last // 5, abs=0.5)
    assert np.isfinite(path.scores).tolist() == [index % every == 0 for index in range(83)]


def test_a_track_ends_at_its_last_detected_frame() -> None:
    reel = Reel(60, gap=range(22, 60))
    paths = [follow(reel.footage(), FaceOptions(Bright(), every=each)).tracks for each in (1, 4)]
    assert [path.frames.tolist() for (path,) in paths] == [list(range(22))] * 2
    short = Reel(60, gap=range(22, 38))
    for every in (1, 4, 10):  # missed for longer than half a second
        tracks = follow(short.footage(), FaceOptions(Bright(), every=every)).tracks
        assert [(path.frames[0], path.frames[-1]) for path in tracks] == [(0, 21), (38, 59)]


class Fast(Reel):
    """Its square moves by two pixels per frame and reverses every 20 frames."""

    def frames(self) -> Iterator[TimedFrame]:
        for timed in super().frames():
            place = 2 * (timed.index % 20 if timed.index // 20 % 2 == 0 else 20 - timed.index % 20)
            yield replace(timed, pixels=np.roll(timed.pixels, place - 20, axis=1))


@pytest.mark.parametrize("every", [2, 5, 9])
def test_a_fast_face_is_tracked_at_any_detection_interval(every: int) -> None:
    (plain,) = follow(Fast(100).footage(), FaceOptions(Bright())).tracks
    detector = CountingDetector()
    (path,) = follow(Fast(100).footage(), FaceOptions(detector, every=every)).tracks
    assert path.frames.tolist() == plain.frames.tolist() == list(range(100))
    looked = (100 - 1) // every * every  # no detection after it
    assert np.abs(path.boxes[:looked, 0] - plain.boxes[:looked, 0]).max() < 6
    assert detector.times <= 100


class People(Reel):
    """A person before a background: another person from frame 30, and a cut at frame 60."""

    def frames(self) -> Iterator[TimedFrame]:
        rng = np.random.default_rng(0)
        people = rng.integers(0, 255, (3, 5, 5, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
        rooms = rng.integers(0, 190, (2, 12, 16, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
        people[..., 0] = 255
        for timed in super().frames():
            pixels = rooms[timed.index // 60].copy()
            pixels[10:30, 20:40] = people[timed.index // 30 % 3]
            brightness = 0.8 + 0.2 * (timed.index % 2)  # flicker
            pixels[..., 1:] = pixels[..., 1:] * brightness
            yield replace(timed, pixels=pixels)


@pytest.mark.parametrize("every", [1, 4, 7])
def test_a_track_ends_where_another_person_appears(every: int) -> None:
    tracks = follow(People(90).footage(), FaceOptions(Bright(), every=every)).tracks
    assert [(path.frames[0], path.frames[-1]) for path in tracks] == [(0, 29), (30, 59), (60, 89)]


def test_a_track_ends_at_a_jump_of_the_timestamps(run: Run) -> None:
    def frames() -> Iterator[TimedFrame]:
        for timed in Reel(100).frames():
            yield replace(timed, seconds=timed.seconds + (60 if timed.index >= 50 else 0))

    footage = replace(Reel(100).footage(), frames=frames)
    predictor = WindowPredictor.of(run, "cpu")
    for face_options in (FaceOptions(Bright(), spacing=Spacing(4)), FaceOptions(None, spacing=Spacing(4))):
        predictions = predictor.predict(footage, face_options).predictions
        assert [(each.start, each.end) for each in predictions] == [(0, 2), (62, 64)]
        assert [max(each.frames) < 50 for each in predictions] == [True, False]


def test_a_packed_clip_of_two_shots_has_the_faces_of_both() -> None:
    footage = People(90).footage()
    assert len(follow(footage, FaceOptions(Bright())).tracks) == 3
    crops = list(face_frames(footage, FaceOptions(Bright(), margin=0.0)))
    assert len(crops) == 90
    first, second = crops[10][..., 1:].astype(int), crops[40][..., 1:].astype(int)
    assert np.abs(first - second).mean() > 30


def test_all_faces_or_one_of_an_image(run: Run, test_data: Path) -> None:
    footage = open_footage(test_data / "faces" / "multi_face.jpg")
    predictor, yunet = WindowPredictor.of(run, "cpu"), YuNet(test_data / "models" / "yunet.onnx")
    every = predictor.predict(footage, FaceOptions(yunet, track="all"))
    assert [each.track for each in every.predictions] == [1, 2, 3, 4, 5]
    assert "is an image, not a video" in every.notes[0]
    (third,) = predictor.predict(footage, FaceOptions(yunet, track=3)).predictions
    assert third.probabilities == every.predictions[2].probabilities
    none = predictor.predict(footage, FaceOptions(yunet, track=6))
    assert none.predictions == ()
    assert none.notes[1].endswith("has no track 6; it has 1, 2, 3, 4, 5")
    largest = predictor.predict(footage, FaceOptions(yunet))
    areas = [path.size for path in every.followed.tracks]
    assert [each.track for each in largest.predictions] == [int(np.argmax(areas)) + 1]


def test_exif_orientation_of_an_image_is_applied(tmp_path: Path) -> None:
    lying = Image.new("RGB", (40, 20), "blue")
    lying.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # its left side is its top
    lying.save(tmp_path / "lying.jpg", exif=exif, quality=95)
    (frame,) = open_footage(tmp_path / "lying.jpg").frames()
    assert frame.pixels.shape == (40, 20, 3)
    assert frame.pixels[10, 10].argmax() == 0
    assert frame.pixels[30, 10].argmax() == 2


def test_videos_of_a_folder_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("clip10.mp4", "CLIP2.MP4", "clip1.avi", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert [path.name for path in videos_in(tmp_path)] == ["clip1.avi", "CLIP2.MP4", "clip10.mp4"]


def test_face_frames_of_a_real_clip(test_data: Path) -> None:
    yunet = FaceOptions(YuNet(test_data / "models" / "yunet.onnx"), every=12)
    frames = list(face_frames(open_footage(test_data / "faces" / "single_face.mp4"), yunet))
    assert len(frames) == 72
    assert {frame.shape[0] == frame.shape[1] for frame in frames} == {True}
    with pytest.raises(NoFace, match=r"no face was found in .*no_face"):
        list(face_frames(open_footage(test_data / "faces" / "no_face.mp4"), yunet))


@pytest.mark.parametrize("wrong", [{"track": "tallest"}, {"track": 0}, {"margin": -0.1}, {"margin": 9}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"--(track|margin)"):
        FaceOptions(None, **wrong)
