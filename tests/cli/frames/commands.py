"""The command that the tests of frames run, and what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from dfer_model.data.packed import PackedClips

Run = Callable[..., tuple[str, str]]


def of_frames(clips: PackedClips, *words: str) -> list[str]:
    data = ["--source", "frames", "--dataset", str(clips.path), "--folds", "2-3"]
    return ["generate", *data, "--clips", "3", "--frames", "2", "--samples", "3", "--top-k", "2", *words]


def manifest(version: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path("descriptions", version, "manifest.yaml").read_text())
    return loaded
