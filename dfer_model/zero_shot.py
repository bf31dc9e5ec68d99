"""Zero-shot answers: CLIP as it is, the description sets' own words, no training at all.

What a text means shows here, where no label helps. The features of the test clips are computed once per
CLIP and dataset and kept; every description set is judged on the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save_file
from torch import Tensor

from .clip import Clip, clip_identity, load_clip
from .comparison import Answers
from .data.packed import PackedClips
from .evaluation import frame_features, zero_shot_logits
from .experiments import Grid
from .files import replacing
from .settings import Settings

Report = Callable[[int, int, str], None]


def zero_shot_answers(
    grid: Grid, clips: PackedClips, kept: Path, report: Report, device: str = "auto"
) -> Answers:
    """Which test clips of the grid's folds each of its sets answers rightly with `grid.settings.clip`.

    `kept` is the folder of features; a folder that can be deleted at any time.
    """
    clip = load_clip(grid.settings.clip, grid.settings.weights)
    by_fold = [clips.test_indices(fold) for fold in grid.folds]
    features = []
    for number, indices in enumerate(by_fold):
        report(number, len(by_fold), f"fold {grid.folds[number]}")
        features.append(_kept_features(clip, clips, indices, grid.settings, kept, device))
    report(len(by_fold), len(by_fold), "")
    indices = np.concatenate(by_fold)
    labels = clips.labels[indices]
    correct = {}
    for texts in grid.texts:
        logits = np.concatenate([zero_shot_logits(each, clip, texts) for each in features])
        correct[texts.name] = (logits.argmax(axis=1) == labels)[None]
    return Answers(labels, clips.folds[indices], correct)


def _kept_features(
    clip: Clip,
    clips: PackedClips,
    indices: npt.NDArray[np.int64],
    settings: Settings,
    kept: Path,
    device: str,
) -> Tensor:
    """Unit frame features (clips, frames, width), from `kept` where they have been computed before."""
    shaping = [
        clip_identity(clip),
        clips.fingerprint,
        indices.tolist(),
        settings.frames,
        settings.normalize,
        settings.precision,
    ]
    path = kept / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.safetensors"
    if path.is_file():
        return load_file(path)["frames"]
    features = frame_features(clip, clips, indices, settings, device=device).cpu()
    with replacing(path) as temporary:
        save_file({"frames": features.contiguous()}, temporary)
    return features
