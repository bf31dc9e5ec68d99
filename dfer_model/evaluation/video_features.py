"""Features of whole clips as a trained model compares them with its class weights, and their t-SNE map."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.data.packed import PackedClips
from dfer_model.devices import choose_device
from dfer_model.errors import InputError
from dfer_model.models.baselines.video_network import VideoNetwork
from dfer_model.models.dfer_clip import VideoClassifier
from dfer_model.progress import Report, silent
from dfer_model.runs import Run

from .evaluate import Indices, evaluation_dataset, over_clips
from .trained_model import TrainedModel, load_trained

SEED = 0  # of the drawn clips and of t-SNE
PERPLEXITY = 30.0
FEWEST = 4  # clips of a map
Floats = npt.NDArray[np.float32]


def video_features(
    run: Run,
    clips: PackedClips,
    indices: Indices,
    *,
    device: str | None = None,
    report: Report = silent,
) -> Floats:
    """The video features (clips, width) of the clips at `indices`, before the comparison with class weights.

    Of a model that compares by cosine they have unit norm. With several test segments or crops, the mean over
    these views. Raises InputError as `load_trained` does, and for a clip that cannot be read.
    """
    settings, where = run.settings, choose_device(device, tf32=run.settings.tf32)
    model = load_trained(run, where)
    dataset = evaluation_dataset(clips, indices, settings, model.image_size)
    module = _VideoFeatures(model, unit=settings.uses_texts)
    return np.asarray(over_clips(module, dataset, settings, where, report).numpy(), dtype=np.float32)


class _VideoFeatures(nn.Module):
    """uint8 frames (clips, T, 3, S, S), or (clips, views, T, 3, S, S), -> features (clips, width)."""

    def __init__(self, model: TrainedModel, *, unit: bool) -> None:
        super().__init__()
        self.model, self.unit = model, unit

    def forward(self, frames: Tensor) -> Tensor:
        views = frames.flatten(0, -5)  # (clips * views, T, 3, S, S)
        features = _features(self.model.model, self.model.scale(views)).float()
        if self.unit:
            features = F.normalize(features, dim=-1)
        return features.view(len(frames), -1, features.shape[-1]).mean(dim=1)


def _features(model: nn.Module, frames: Tensor) -> Tensor:
    """The input of the cosine or the linear head: frames (clips, T, 3, S, S) -> (clips, width)."""
    if isinstance(model, VideoClassifier):
        return model.video_features(model.frame_features(frames))
    return cast(VideoNetwork, model).video_features(frames)


def drawn(indices: Indices, most: int) -> Indices:
    """At most `most` of the indices in their order, drawn with a fixed seed."""
    if len(indices) <= most:
        return indices
    return np.sort(np.random.default_rng(SEED).choice(indices, most, replace=False))


def perplexity(clips: int, classes: int) -> float:
    """The perplexity of t-SNE: 30, or half the mean number of clips per class if that is smaller.

    A perplexity near the size of a class would draw all its clips at one point.
    """
    return max(1.0, min(PERPLEXITY, clips / (2 * classes)))


def tsne(features: Floats, classes: int) -> Floats:
    """The t-SNE map (clips, 2) of features (clips, width), with scikit-learn and a fixed seed.

    van der Maaten and Hinton, JMLR 2008; it starts from the first two principal components. `classes` is the
    number of classes among the clips. Raises InputError for fewer than 4 clips.
    """
    if len(features) < FEWEST:
        raise InputError(f"t-SNE needs at least {FEWEST} clips; there are {len(features)}")
    from sklearn.manifold import TSNE

    fitted = TSNE(perplexity=perplexity(len(features), classes), init="pca", random_state=SEED)
    return np.asarray(fitted.fit_transform(features), dtype=np.float32)
