"""Zero-shot answers: CLIP as it is, the description sets' own words, no training at all.

What a text means shows here, where no label helps. The features of the test clips are computed once per
CLIP and dataset and kept; every description set is judged on the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
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

from ..evaluation.text_scores import class_features
from .grid import Grid

Report = Callable[[int, int, str], None]

ENSEMBLINGS = ("mean of embeddings", "mean of similarities")


@dataclass(frozen=True)
class Videos:
    """Clips as CLIP sees them untrained: the mean of each one's frame features, in the folds' order."""

    features: Tensor  # (clips, width), unit norm
    labels: npt.NDArray[np.int64]  # (clips,)
    folds: npt.NDArray[np.int64]  # (clips,)


def zero_shot_answers(
    grid: Grid, clip: Clip, clips: PackedClips, kept: Path, report: Report, device: str = "auto"
) -> Answers:
    """Which test clips of the grid's folds each of its sets answers rightly with `clip` as it is.

    `kept` is the folder of features; a folder that can be deleted at any time.
    """
    videos = video_features(clip, clips, grid.folds, grid.settings, kept, report, device)
    said = {}
    for texts in grid.texts:
        logits = zero_shot_logits(videos.features[:, None], clip, texts, grid.settings.ensemble)
        said[texts.name] = logits.argmax(axis=1)[None]
    correct = {name: each == videos.labels for name, each in said.items()}
    return Answers(videos.labels, videos.folds, correct, said)


def video_features(
    clip: Clip,
    clips: PackedClips,
    folds: Sequence[int],
    settings: Settings,
    kept: Path,
    report: Report,
    device: str = "auto",
) -> Videos:
    """The clips of these folds and of no other, from `kept` where a fold's features are there already.

    Fold 0, whose clips are never tested, may be asked for too. Raises InputError for a fold without clips.
    """
    by_fold = [_clips_of(clips, fold) for fold in folds]
    features = []
    total = sum(map(len, by_fold))
    done = 0
    for fold, indices in zip(folds, by_fold, strict=True):

        def within(part: int, _: int, note: str = "", fold: int = fold, before: int = done) -> None:
            report(before + part, total, f"{note} fold {fold}")

        features.append(_kept_features(clip, clips, indices, settings, kept, within, device))
        done += len(indices)
    report(total, total, "clips")
    indices = np.concatenate(by_fold)
    means = F.normalize(torch.cat(features).float().mean(dim=1), dim=-1)
    return Videos(means, clips.labels[indices], clips.folds[indices])


def ensembled_answers(videos: Tensor, prompts: Sequence[Tensor], ensembling: str) -> npt.NDArray[np.int64]:
    """The class (clips,) that each of `videos` (clips, width) is nearest to, from several prompts a class.

    `prompts` holds for each class the embeddings (prompts, width), unit norm. "mean of embeddings" compares a
    clip with the unit mean of a class's embeddings (as Radford et al. 2021, section 3.1.4), "mean of
    similarities" takes the mean of its cosines with them (as Menon and Vondrick 2023, arXiv 2210.07183). They
    differ by the length of the mean: the second is unkind to a class whose prompts differ.
    """
    means = torch.stack([each.mean(dim=0) for each in prompts])  # (classes, width)
    if ensembling == ENSEMBLINGS[0]:
        means = F.normalize(means, dim=-1)
    answers: npt.NDArray[np.int64] = (videos @ means.T).argmax(dim=1).numpy()
    return answers


@dataclass(frozen=True)
class Judged:
    """UAR and WAR in percent, averaged over the folds, with their intervals."""

    uar: Interval
    war: Interval


def prompt_figures(
    clip: Clip, videos: Videos, prompts: Sequence[Sequence[str]], class_names: Sequence[str]
) -> dict[str, Judged]:
    """What `clip` reaches on `videos` with each class's prompts, for each way of ensembling them.

    Where every class has one prompt there is one figure, under "one prompt". Raises InputError that names the
    class whose prompt does not fit the text tower.
    """
    features = class_features(clip, prompts, class_names)
    single = all(len(own) == 1 for own in prompts)
    return {
        "one prompt" if single else way: _judged(ensembled_answers(videos.features, features, way), videos)
        for way in (ENSEMBLINGS[:1] if single else ENSEMBLINGS)
    }


def _judged(answers: npt.NDArray[np.int64], videos: Videos) -> Judged:
    labels, folds = videos.labels, videos.folds
    right = answers == labels
    return Judged(
        *(
            figure_interval(right, each, labels, folds)
            for each in (uar_weights(labels, folds), war_weights(folds))
        )
    )


def _clips_of(clips: PackedClips, fold: int) -> npt.NDArray[np.int64]:
    never_tested = np.flatnonzero(clips.folds == 0)
    return never_tested if fold == 0 and len(never_tested) else clips.test_indices(fold)


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
    if tensors_are_whole(path):
        return load_file(path)["video"]
    features = frame_features(clip, clips, indices, settings, device, report).mean(dim=1, keepdim=True)
    write_tensors(path, save({"video": features.contiguous()}))
    return features
