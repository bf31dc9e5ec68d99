"""Detectors on real images, where these are available, and refused model files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_model.data.images import Pixels, decode_pixels
from dfer_model.data.video import decode_timed
from dfer_model.errors import InputError
from dfer_model.video.detect import BETTER_FACES, NAME, Detector, Haar, YuNet, cache_folder, choose_detector


def picture(test_data: Path, name: str) -> Pixels:
    return decode_pixels((test_data / "faces" / name).read_bytes())


def test_yunet_finds_each_face_with_its_eyes(test_data: Path) -> None:
    yunet = YuNet(test_data / "models" / "yunet.onnx")
    assert len(yunet(picture(test_data, "multi_face.jpg"))) == 5
    (face,) = yunet(picture(test_data, "single_face.jpg"))
    assert face.score > 0.9
    left, top, right, bottom = face.box
    assert face.landmarks is not None
    for x, y in face.landmarks:
        assert left < x < right
        assert top < y < bottom
    (left_eye, right_eye, _, left_mouth, _) = face.landmarks
    assert left_eye[0] < right_eye[0]
    assert left_eye[1] < left_mouth[1]


def test_a_large_frame_is_searched_at_low_resolution(test_data: Path) -> None:
    yunet = YuNet(test_data / "models" / "yunet.onnx")
    small = picture(test_data, "single_face.jpg")
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    (one,), (other,) = yunet(small), yunet(large)
    np.testing.assert_allclose(np.array(other.box) / 4, one.box, atol=8)
    assert one.landmarks is not None
    assert other.landmarks is not None
    np.testing.assert_allclose(np.array(other.landmarks) / 4, one.landmarks, atol=8)


def test_haar_finds_a_face_from_the_front(test_data: Path) -> None:
    (face,) = Haar()(picture(test_data, "single_face.jpg"))
    assert face.landmarks is None
    left, top, right, bottom = face.box
    assert left < 280 < right  # the middle of the face, 280 x 270
    assert top < 270 < bottom


def test_haar_finds_a_face_in_the_dark(test_data: Path) -> None:
    bright = picture(test_data, "single_face.jpg")
    assert len(Haar()(bright // 10)) == 1


@pytest.mark.parametrize("name", ["yunet", "haar"])
def test_letters_are_not_faces(test_data: Path, name: str) -> None:
    detector: Detector = Haar() if name == "haar" else YuNet(test_data / "models" / "yunet.onnx")
    frames = list(decode_timed(test_data / "faces" / "no_face.mp4"))[::8]
    assert [len(detector(timed.pixels)) for timed in frames] == [0] * len(frames)


def test_auto_is_yunet_where_its_file_is(test_data: Path) -> None:
    given = test_data / "models" / "yunet.onnx"
    detector, note = choose_detector("auto", given)
    assert (detector.name, note) == ("yunet", None)
    detector, note = choose_detector("auto")
    assert (detector.name, note) == ("haar", BETTER_FACES)
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / NAME).write_bytes(given.read_bytes())
    assert choose_detector("auto")[0].name == "yunet"


def test_other_files_are_not_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"face model .*absent.onnx does not exist"):
        YuNet(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_bytes(b"no network\n" * 50)
    with pytest.raises(InputError, match=r"text\.onnx is not a YuNet model"):
        YuNet(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="no face detector 'mtcnn'"):
        choose_detector("mtcnn")
