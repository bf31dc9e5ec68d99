"""Screening description sets: what is asked, and the answers, which are kept and found again."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from dfer_model.devices import choose_device
from dfer_model.evaluation.evaluate import Report, silent
from dfer_model.memory import telling_of_memory
from dfer_model.models.clip import Clip, load_clip

from ...config import Settings
from ...data.packed import PackedClips
from ...digests import tensors_are_whole, write_tensors
from ...errors import InputError
from ...runs import ClassTexts, Predictions
from .feature_training import Together
from .features import TEST, Indices, KeptFeatures, tower_facts
from .stacked import Pair, groups

# Raise it when the same features would give other answers: kept ones are then not found.
FORMAT = 1
VIEWS = 4
MOST_BYTES = 4 * 2**30  # of what a step of all models together keeps for its gradient
# What says how runs are fine-tuned, chosen or read, and means nothing here.
WITHOUT_EFFECT = {
    "workers", "clip", "weights", "lr_image", "lora_rank", "gradient_checkpointing", "lr_head", "mixup",
    "cutmix", "shots", "select", "val_share", "accumulate",
}  # fmt: skip


@dataclass(frozen=True)
class Screening:
    """`texts` x `seeds`, learned on some clips and judged on others, under one configuration.

    The image tower is frozen whatever `settings.lr_image` is, the last epoch answers whatever
    `settings.select` is, and clips are not mixed, which is a matter of pixels.
    """

    settings: Settings
    texts: tuple[ClassTexts, ...]
    seeds: tuple[int, ...]
    learn: Indices  # positions of the clips that are trained on
    judge: Indices  # positions of the clips that judge
    views: int = VIEWS  # of each clip, taken in turn by the epochs

    def __post_init__(self) -> None:
        if self.settings.classifier != "dfer-clip":
            raise InputError(
                f"screening trains contexts and a temporal model on kept frame features, and "
                f"classifier={self.settings.classifier} is trained otherwise\n"
                "Take --strategy dfer-clip or coop, or compare without screening"
            )
        if self.settings.held_out:
            raise InputError(
                f"held_out={self.settings.held_out}: a screening learns every class\nLeave it off"
            )


def screen(
    screening: Screening,
    clips: PackedClips,
    kept: Path,
    *,
    report: Report = silent,
    device: str | None = None,
) -> dict[tuple[str, int], Predictions]:
    """What each set, by name, trained with each seed answers for the clips at `screening.judge`, in order.

    `kept` is the folder of features and finished answers; a folder that can be deleted at any time. `report`
    is told (epochs of a model done, epochs of all models, where it is). Raises InputError for clips and texts
    that do not fit, WorkError for a loss that is not finite.
    """
    if any(texts.class_names != clips.class_names for texts in screening.texts):
        raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
    settings = screening.settings
    clip = load_clip(settings.clip, settings.weights)
    tower = tower_facts(clip)
    paths = {
        (texts, seed): _path(kept, screening, clips, tower, texts, seed)
        for texts, seed in itertools.product(screening.texts, screening.seeds)
    }
    missing = [pair for pair, path in paths.items() if not tensors_are_whole(path)]
    if missing:
        _train(missing, paths, screening, clip, clips, kept, report, device)
    ids = [clips.clip_ids[index] for index in screening.judge]
    labels = clips.labels[screening.judge]
    return {
        (texts.name, seed): Predictions(ids, labels, load_file(path)["logits"])
        for (texts, seed), path in paths.items()
    }


def _train(
    missing: Sequence[Pair],
    paths: Mapping[Pair, Path],
    screening: Screening,
    clip: Clip,
    clips: PackedClips,
    kept: Path,
    report: Report,
    device: str | None,
) -> None:
    """Train the models of `missing`, group by group, and write each one's answers to its path."""
    settings = screening.settings
    epochs = max(settings.epochs, 1)
    total = len(missing) * epochs

    def reading(clips_done: int, clips_total: int, note: str = "") -> None:
        report(clips_done, clips_total, note)

    features = KeptFeatures(clip, clips, settings, kept, device)
    features.make(screening.judge, range(TEST, TEST + 1), reading)
    if settings.epochs:
        features.make(screening.learn, range(1, screening.views + 1), reading)
    done = 0
    for group in groups(clip, missing, settings, MOST_BYTES):

        def training(epoch: int, _: int, note: str = "", group: int = len(group), before: int = done) -> None:
            report(before * epochs + epoch * group, total, note)

        together = Together(
            clip, group, settings, features, screening.learn, screening.views, choose_device(device)
        )
        short = "Screen fewer sets or seeds at once, or give --device cpu"
        with telling_of_memory(together.device, f"{len(group)} models at once did not fit", short):
            together.train(training)
        for pair, logits in zip(group, together.answers(screening.judge), strict=True):
            write_tensors(paths[pair], save({"logits": np.ascontiguousarray(logits)}))
        done += len(group)
    report(total, total, "")


def _path(
    kept: Path, screening: Screening, clips: PackedClips, tower: list[Any], texts: ClassTexts, seed: int
) -> Path:
    """The file of one model's answers, named by all that shapes them."""
    settings = screening.settings.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    shaping = [
        FORMAT,
        settings,
        tower,
        clips.fingerprint,
        texts.class_names,
        texts.texts,
        seed,
        screening.learn.tolist(),
        screening.judge.tolist(),
        screening.views,
    ]
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return kept / "screened" / f"{digest}.safetensors"
