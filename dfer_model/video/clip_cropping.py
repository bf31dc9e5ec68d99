"""Face crops of the clips of a dataset, configured once for every packing process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2

from dfer_model.data.images import Pixels
from dfer_model.errors import InputError

from .crop import MARGIN
from .detect import Detector, Haar, YuNet, choose_detector
from .footage import open_footage
from .passes import FaceOptions, face_frames


@dataclass(frozen=True)
class Cropping:
    """A detector (Haar if `model` is None, else YuNet's file) and the margin of the crops."""

    model: Path | None
    margin: float = MARGIN

    @classmethod
    def choose(
        cls, faces: str, model: Path | None = None, margin: float = MARGIN
    ) -> tuple[Cropping, str | None]:
        """The cropping of `--faces`, and a note or None. Raises InputError as `choose_detector` does."""
        detector, note = choose_detector(faces, model)
        FaceOptions(detector, margin=margin)  # checks the margin
        return cls(detector.model if isinstance(detector, YuNet) else None, margin), note

    @property
    def facts(self) -> list[str | float]:
        """All that the crops depend on."""
        if self.model is None:
            return ["haar", self.margin]
        return ["yunet", hashlib.sha256(self.model.read_bytes()).hexdigest(), self.margin]

    def frames(self, clip: Path) -> Iterator[Pixels]:
        """The largest face of a clip, frame by frame, uint8 RGB (S, S, 3).

        `clip` is a video or a folder of frames. Raises NoFace if no face is found, InputError if the clip
        cannot be read completely.
        """
        if not clip.exists():
            raise InputError(f"{clip} does not exist")
        return face_frames(open_footage(clip), FaceOptions(_detector(self.model), margin=self.margin))


@lru_cache(maxsize=1)
def _detector(model: Path | None) -> Detector:
    """The detector of this process, with one thread: there is one process per core."""
    cv2.setNumThreads(1)
    return Haar() if model is None else YuNet(model)
