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

from .clip import Clip, clip_identity
from .comparison import Answers
from .data.packed import PackedClips
from .evaluation import frame_features, zero_shot_logits
from .experiments import Grid
from .files import replacing
from .settings import Settings

Report = Callable[[int, int, str], None]


def zero_shot_answers(
    grid: Grid, clip: Clip, clips: PackedClips, kept: Path, report: Report, device: str = "auto"
) -> Answers:
    """Which test clips of the grid's folds each of its sets answers rightly with `clip` as it is.

    `kept` is the folder of features; a folder that can be deleted at any time.
    """
    by_fold = [clips.test_indices(fold) for fold in grid.folds]
    features = []
    total = sum(map(len, by_fold))
    done = 0
    for fold, indices in zip(grid.folds, by_fold, strict=True):

        def within(part: int, _: int, note: str = "", fold: int = fold, before: int = done) -> None:
            report(before + part, total, f"{note} fold {fold}")

        features.append(_kept_features(clip, clips, indices, grid.settings, kept, within, device))
        done += len(indices)
    report(total, total, "clips")
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
    report: Report,
    device: str,
) -> Tensor:
    """The mean of each clip's unit frame features, (clips, 1, width), from `kept` where it has been found."""
    shaping = [
        clip_identity(clip),
        clip.config,
        clip.mean,
        clip.std,
        clips.fingerprint,
        indices.tolist(),
        settings.frames,
        settings.normalize,
        settings.precision,
    ]
    path = kept / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.safetensors"
    if path.is_file():
        return load_file(path)["video"]
    features = frame_features(clip, clips, indices, settings, device, report).mean(dim=1, keepdim=True)
    with replacing(path) as temporary:
        save_file({"video": features.contiguous()}, temporary)
    return features
