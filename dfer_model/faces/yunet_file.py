"""YuNet's weights: one ONNX file of the OpenCV zoo, fetched once and known by its hash."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

from dfer_model.errors import InputError, WorkError
from dfer_model.files import replacing

NAME = "face_detection_yunet_2023mar.onnx"
URL = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/" + NAME
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
MOST_BYTES = 4 * 2**20  # the file has 232,589
TIMEOUT_S = 30


def cache_folder() -> Path:
    """Where fetched files are kept: `DFER_CACHE`, else dfer-prompts in the user's cache folder."""
    given = os.environ.get("DFER_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dfer-prompts"


def fetched_yunet() -> Path | None:
    """The file where it was fetched before, else None."""
    path = cache_folder() / NAME
    return path if path.is_file() else None


def fetch_yunet(*, url: str = URL, sha256: str = SHA256) -> Path:
    """The file, fetched from `url` unless it is in the cache.

    Raises InputError when it cannot be fetched, WorkError when what came is not the file of that hash;
    nothing is kept then.
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
            f"YuNet's file is not on this machine and cannot be fetched: {_reason(error)}\n"
            f"Bring {NAME} of the OpenCV zoo and give it: --face-model FILE, or do with --faces haar"
        ) from None
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise WorkError(
            f"what came from {url} is not the file that was expected: its sha256 is {got}\n"
            f"Bring {NAME} of the OpenCV zoo and give it: --face-model FILE, or do with --faces haar"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _reason(error: Exception) -> str:
    said = getattr(error, "reason", None) or error
    return str(said).partition("\n")[0][:160] or type(error).__name__
