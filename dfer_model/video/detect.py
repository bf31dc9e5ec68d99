"""Face detection in one frame by OpenCV's YuNet or Haar cascade, behind one interface.

YuNet's weights are one ONNX file of the OpenCV zoo, downloaded once and verified by its SHA-256.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from dfer_model.data.images import Pixels
from dfer_model.errors import InputError, WorkError
from dfer_model.io import replacing

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Point = tuple[float, float]  # x, y in pixels

# The longer side for detection: larger frames are reduced, smaller ones are not enlarged.
YUNET_SIDE = 640
HAAR_SIDE = 480  # it is several times slower
YUNET_SCORE = 0.6
YUNET_OVERLAP = 0.3  # threshold of non-maximum suppression
HAAR_CASCADE = "haarcascade_frontalface_default.xml"
HAAR_STEP = 1.1  # scale factor between window sizes
HAAR_NEIGHBOURS = 8  # windows that must agree; with the usual 3 to 5, text is detected as faces
HAAR_LEAST_SHARE = 1 / 12  # of the frame's shorter side; the smallest face


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    `score` depends on the detector: YuNet's is in 0..1, Haar's is the weight of the cascade's last stage.
    `landmarks` are the left eye in the image, the right eye, the tip of the nose, and the left and right
    corner of the mouth; None if the detector gives none.
    """

    box: Box
    score: float
    landmarks: tuple[Point, Point, Point, Point, Point] | None = None

    def scaled(self, by: float) -> Face:
        """The same face in a frame whose sides are `by` times as long."""
        if by == 1:
            return self
        left, top, right, bottom = (value * by for value in self.box)
        points: Any = self.landmarks and tuple((x * by, y * by) for x, y in self.landmarks)
        return Face((left, top, right, bottom), self.score, points)


class Detector(Protocol):
    """Finds the faces of one frame."""

    name: str

    def __call__(self, pixels: Pixels, /) -> list[Face]:
        """The faces in uint8 RGB pixels (H, W, 3), in pixels of this frame."""


class YuNet:
    """Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector (2023), through OpenCV's FaceDetectorYN."""

    name = "yunet"

    def __init__(self, model: Path) -> None:
        """`model` is its ONNX file. Raises InputError if it is missing or another file."""
        if not model.is_file():
            raise InputError(
                f"face model {model} does not exist\n"
                "Give YuNet's ONNX file, or omit --face-model to download it"
            )
        self.model = model
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), YUNET_SCORE, YUNET_OVERLAP)
            self(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise InputError(
                f"{model} is not a YuNet model that OpenCV {cv2.__version__} can read\n"
                "Use face_detection_yunet_2023mar.onnx of the OpenCV zoo"
            ) from error

    def __call__(self, pixels: Pixels) -> list[Face]:
        """As `Detector`, by descending score."""
        small, scale = reduced(pixels, YUNET_SIDE)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, found = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15)) if found is None else np.asarray(found, float)
        return [_yunet_face(row, scale) for row in rows]


class Haar:
    """Viola and Jones: Rapid object detection (2001), with the frontal cascade of OpenCV 4."""

    name = "haar"

    def __init__(self) -> None:
        self._cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / HAAR_CASCADE))

    def __call__(self, pixels: Pixels) -> list[Face]:
        """As `Detector`, without landmarks."""
        small, scale = reduced(pixels, HAAR_SIDE)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        least = max(24, round(min(grey.shape) * HAAR_LEAST_SHARE))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, HAAR_STEP, HAAR_NEIGHBOURS, minSize=(least, least), outputRejectLevels=True
        )
        return [
            Face(_box(np.asarray(box, float), scale), float(weight))
            for box, weight in zip(boxes, weights, strict=True)
        ]


def reduced(pixels: Pixels, side: int) -> tuple[Pixels, float]:
    """The frame reduced to a longer side of at most `side` pixels, and the reduction factor."""
    scale = max(pixels.shape[:2]) / side
    if scale <= 1:
        return np.ascontiguousarray(pixels), 1.0
    size = (max(1, round(pixels.shape[1] / scale)), max(1, round(pixels.shape[0] / scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _box(found: np.ndarray, scale: float) -> Box:
    left, top, width, height = (float(value) * scale for value in found)
    return left, top, left + width, top + height


def _yunet_face(row: np.ndarray, scale: float) -> Face:
    """A row of FaceDetectorYN: left, top, width, height, five points, score."""
    left_eye, right_eye, nose, left_mouth, right_mouth = (
        (float(x) * scale, float(y) * scale) for x, y in row[4:14].reshape(5, 2)
    )
    landmarks = (left_eye, right_eye, nose, left_mouth, right_mouth)
    return Face(_box(row[:4], scale), float(row[14]), landmarks)


BETTER_FACES = (
    "Faces are detected by the Haar cascade, which finds frontal faces only. YuNet finds more: predict "
    "--faces yunet downloads it once; or give its file by --face-model or as face_model in dfer.yaml"
)


def choose_detector(faces: str, model: Path | None = None) -> tuple[Detector, str | None]:
    """The detector of `--faces`, and a note or None.

    `auto` is YuNet if its file is given or was downloaded before, else Haar; `yunet` downloads the file once.
    Raises InputError for another name, and as YuNet and `fetch_yunet` do.
    """
    if faces not in ("auto", "yunet", "haar"):
        raise InputError(f"no face detector {faces!r}\nThere are: auto, yunet, haar")
    if faces == "haar":
        return Haar(), None
    file = model or (fetch_yunet() if faces == "yunet" else fetched_yunet())
    return (YuNet(file), None) if file else (Haar(), BETTER_FACES)


NAME = "face_detection_yunet_2023mar.onnx"
URL = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/" + NAME
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
MOST_BYTES = 4 * 2**20  # the file has 232,589
TIMEOUT_S = 30


def cache_folder() -> Path:
    """The folder of downloaded files: `DFER_CACHE`, else dfer-prompts in the user's cache folder."""
    given = os.environ.get("DFER_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dfer-prompts"


def fetched_yunet() -> Path | None:
    """The file if it was downloaded before, else None."""
    path = cache_folder() / NAME
    return path if path.is_file() else None


def fetch_yunet(*, url: str = URL, sha256: str = SHA256) -> Path:
    """The file, downloaded from `url` unless it is in the cache.

    Raises InputError if it cannot be downloaded, WorkError if its hash differs; nothing is stored then.
    """
    there = fetched_yunet()
    if there is not None:
        return there
    path = cache_folder() / NAME
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a URL of ours
            content = answer.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"YuNet's file is not on this machine and cannot be downloaded: {_reason(error)}\n"
            f"Copy {NAME} of the OpenCV zoo here and give --face-model FILE, or use --faces haar"
        ) from None
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise WorkError(
            f"the file downloaded from {url} is not the expected one: its sha256 is {got}\n"
            f"Copy {NAME} of the OpenCV zoo here and give --face-model FILE, or use --faces haar"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).partition("\n")[0][:160] or type(error).__name__
