"""Zero-shot predictions: CLIP without training, with the texts of the description sets.

The features of the test clips are computed once per CLIP and dataset and stored; every description set is
tested on the same features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from safetensors.torch import load_file, save
from torch import Tensor

from dfer_model.comparison.results import Answers
from dfer_model.comparison.statistics import Interval, figure_interval, uar_weights, war_weights
from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.digests import tensors_are_whole, write_tensors
from dfer_model.evaluation.evaluate import frame_features, zero_shot_logits
from dfer_model.models.clip import Clip, clip_identity
from dfer_model.progress import Report

from ..evaluation.text_scores import class_features
from .grid import Grid

ENSEMBLINGS = ("mean of embeddings", "mean of similarities")


@dataclass(frozen=True)
class Videos:
    """Clip features of CLIP without training, the mean over each clip's frames, in the folds' order."""

    features: Tensor  # (clips, width), unit norm
    labels: npt.NDArray[np.int64]  # (clips,)
    folds: npt.NDArray[np.int64]  # (clips,)


def zero_shot_answers(
    grid: Grid, clip: Clip, clips: PackedClips, cache_dir: Path, report: Report, device: str = "auto"
) -> Answers:
    """The predictions of each set for the test clips of the grid's folds, by `clip` without training.

    `cache_dir` holds features for reuse; it can be deleted at any time.
    """
    videos = video_features(clip, clips, grid.folds, grid.settings, cache_dir, report, device)
    predicted = {}
    for texts in grid.texts:
        logits = zero_shot_logits(videos.features[:, None], clip, texts, grid.settings.ensemble)
        predicted[texts.name] = logits.argmax(axis=1)[None]
    correct = {name: each == videos.labels for name, each in predicted.items()}
    return Answers(videos.labels, videos.folds, correct, predicted)


def video_features(
    clip: Clip,
    clips: PackedClips,
    folds: Sequence[int],
    settings: Settings,
    cache_dir: Path,
    report: Report,
    device: str = "auto",
) -> Videos:
    """The features of the clips of these folds, from `cache_dir` if a fold's are stored there.

    Fold 0, whose clips are never tested, is allowed. Raises InputError for a fold without clips.
    """
    by_fold = [_clips_of(clips, fold) for fold in folds]
    features = []
    total = sum(map(len, by_fold))
    done = 0
    for fold, indices in zip(folds, by_fold, strict=True):

        def within(part: int, _: int, note: str = "", fold: int = fold, before: int = done) -> None:
            report(before + part, total, f"{note} fold {fold}")

        features.append(_stored_features(clip, clips, indices, settings, cache_dir, within, device))
        done += len(indices)
    report(total, total, "clips")
    indices = np.concatenate(by_fold)
    means = F.normalize(torch.cat(features).float().mean(dim=1), dim=-1)
    return Videos(means, clips.labels[indices], clips.folds[indices])


def ensembled_answers(videos: Tensor, prompts: Sequence[Tensor], ensembling: str) -> npt.NDArray[np.int64]:
    """The class (clips,) nearest to each of `videos` (clips, width), from several prompts per class.

    `prompts` holds for each class the embeddings (prompts, width), unit norm. "mean of embeddings" compares a
    clip with the unit mean of a class's embeddings (Radford et al. 2021, section 3.1.4); "mean of
    similarities" is the mean of its cosines with them (Menon and Vondrick 2023, arXiv 2210.07183). They
    differ by the length of the mean: the second gives lower scores to a class whose prompts differ.
    """
    means = torch.stack([each.mean(dim=0) for each in prompts])  # (classes, width)
    if ensembling == ENSEMBLINGS[0]:
        means = F.normalize(means, dim=-1)
    answers: npt.NDArray[np.int64] = (videos @ means.T).argmax(dim=1).numpy()
    return answers


@dataclass(frozen=True)
class MeanFigures:
    """UAR and WAR in percent, averaged over the folds, with their intervals."""

    uar: Interval
    war: Interval


def prompt_figures(
    clip: Clip, videos: Videos, prompts: Sequence[Sequence[str]], class_names: Sequence[str]
) -> dict[str, MeanFigures]:
    """UAR and WAR of `clip` on `videos` with each class's prompts, for each way of ensembling them.

    If every class has one prompt, there is one entry, "one prompt". Raises InputError that names the class of
    a prompt that does not fit the text tower.
    """
    features = class_features(clip, prompts, class_names)
    single = all(len(own) == 1 for own in prompts)
    return {
        "one prompt" if single else way: _averaged(ensembled_answers(videos.features, features, way), videos)
        for way in (ENSEMBLINGS[:1] if single else ENSEMBLINGS)
    }


def _averaged(answers: npt.NDArray[np.int64], videos: Videos) -> MeanFigures:
    labels, folds = videos.labels, videos.folds
    right = answers == labels
    return MeanFigures(
        *(
            figure_interval(right, each, labels, folds)
            for each in (uar_weights(labels, folds), war_weights(folds))
        )
    )


def _clips_of(clips: PackedClips, fold: int) -> npt.NDArray[np.int64]:
    never_tested = np.flatnonzero(clips.folds == 0)
    return never_tested if fold == 0 and len(never_tested) else clips.test_indices(fold)


def _stored_features(
    clip: Clip,
    clips: PackedClips,
    indices: npt.NDArray[np.int64],
    settings: Settings,
    cache_dir: Path,
    report: Report,
    device: str,
) -> Tensor:
    """The mean of each clip's unit frame features, (clips, 1, width), from `cache_dir` if stored there."""
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
    path = cache_dir / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.safetensors"
    if tensors_are_whole(path):
        return load_file(path)["video"]
    features = frame_features(clip, clips, indices, settings, device, report).mean(dim=1, keepdim=True)
    write_tensors(path, save({"video": features.contiguous()}))
    return features
