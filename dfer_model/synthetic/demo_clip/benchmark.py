"""Zero-shot recall of a CLIP on drawn faces of people that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dfer_model.data.sampling import sample_test
from dfer_model.models.clip import Clip
from dfer_model.synthetic.drawn_faces import (
    CLASS_NAMES,
    draw_identity,
    draw_track,
    draw_view,
    expression_units,
    render,
)

# First words of the seeds of people for tuning and for testing.
TUNING, JUDGING = 0x74756E65, 0x6A756467
FRAMES = 16


@dataclass(frozen=True)
class Faces:
    """Drawn clips: images (clips, frames, size, size, 3) uint8, labels (clips,) in `CLASS_NAMES`."""

    images: np.ndarray
    labels: np.ndarray


def apex_faces(people: int, size: int, who: int = JUDGING) -> Faces:
    """One image of each class at full intensity from each of `people` persons."""
    images, labels = [], []
    for number in range(people):
        for label, name in enumerate(CLASS_NAMES):
            identity = draw_identity(np.random.default_rng((who, 1, number)))
            rng = np.random.default_rng((who, 2, number, label))
            images.append(render(identity, expression_units(name, rng), draw_view(rng), size, rng)[None])
            labels.append(label)
    return Faces(np.stack(images), np.array(labels))


def clip_faces(people: int, size: int, who: int = JUDGING) -> Faces:
    """One clip of each class at a random intensity from each person, 16 frames sampled as in a test."""
    images, labels = [], []
    for number in range(people):
        for label, name in enumerate(CLASS_NAMES):
            identity = draw_identity(np.random.default_rng((who, 1, number)))
            rng = np.random.default_rng((who, 3, number, label))
            track = draw_track(name, rng)
            chosen = sample_test(len(track.units), FRAMES)
            frames = [render(identity, track.units[i], track.views[i], size, rng) for i in chosen]
            images.append(np.stack(frames))
            labels.append(label)
    return Faces(np.stack(images), np.array(labels))


@torch.no_grad()
def video_features(clip: Clip, faces: Faces, batch: int = 256) -> Tensor:
    """The mean of the frames' unit features, (clips, width)."""
    count, frames = faces.images.shape[:2]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (clip.mean, clip.std))
    pixels = torch.from_numpy(faces.images.reshape(count * frames, *faces.images.shape[2:])).permute(
        0, 3, 1, 2
    )
    model: Any = clip.model
    parts = [model.encode_image((part.float() / 255 - mean) / std) for part in torch.split(pixels, batch)]
    return functional.normalize(torch.cat(parts), dim=-1).view(count, frames, -1).mean(dim=1)


@torch.no_grad()
def zero_shot_recalls(clip: Clip, features: Tensor, labels: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Recall of each class, 0..1, predicting the class of the nearest text; `texts` by label."""
    model: Any = clip.model
    weights = functional.normalize(model.encode_text(clip.tokenizer(list(texts))), dim=-1)
    predictions = (functional.normalize(features, dim=-1) @ weights.T).argmax(dim=1).numpy()
    return np.array([(predictions[labels == label] == label).mean() for label in range(len(texts))])
