"""Screening description sets, whose predictions are stored and reused.

A grid is screened on its test folds for a comparison, or on the other clips to choose the sets to compare.
"""

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

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.measure import ANY_TEXTS
from dfer_model.comparison.results import Answers, Measured, gathered_answers
from dfer_model.data.splits import split_by_class
from dfer_model.devices import choose_device, require_precision
from dfer_model.memory import out_of_memory_error
from dfer_model.models.clip import Clip, load_clip
from dfer_model.progress import Report, silent

from ...config import BEFORE, Settings
from ...data.packed import PackedClips
from ...digests import tensors_are_whole, write_tensors
from ...errors import InputError
from ...runs import ClassTexts, Predictions
from .feature_training import Together
from .features import TEST, Indices, KeptFeatures, tower_facts
from .stacked import Pair, groups

# Increment it when the same features give other predictions: stored ones are then not reused.
FORMAT = 1
VIEWS = 4
MOST_BYTES = 4 * 2**30  # memory of a step of all models together
# Settings of fine-tuning, selection or reading, which have no effect on a screening.
WITHOUT_EFFECT = {
    "workers", "clip", "weights", "lr_image", "lora_rank", "gradient_checkpointing", "lr_head", "mixup",
    "cutmix", "shots", "select", "val_share", "accumulate", "fast_fp32", "compile",
}  # fmt: skip
# Settings that did not exist when screenings were first stored are left out of the hash at their value in
# BEFORE, so that stored screenings are reused.
ADDED = (
    "rotation_interpolation", "tf32", "loss", "focal_gamma", "ldam_margin", "ldam_scale", "logit_tau",
    "targets",
)  # fmt: skip


@dataclass(frozen=True)
class Screening:
    """`texts` x `seeds`, trained on some clips and tested on others, under one configuration.

    The image tower is frozen for any `settings.lr_image`, the last epoch is tested for any `settings.select`,
    and clips are not mixed, because mixing needs pixels.
    """

    settings: Settings
    texts: tuple[ClassTexts, ...]
    seeds: tuple[int, ...]
    learn: Indices  # positions of the training clips
    test_positions: Indices  # positions of the test clips
    views: int = VIEWS  # per clip, used by the epochs in turn

    def __post_init__(self) -> None:
        if self.settings.classifier != "dfer-clip":
            raise InputError(
                f"screening trains contexts and a temporal model on stored frame features; "
                f"classifier={self.settings.classifier} cannot be trained so\n"
                "Take --strategy dfer-clip or coop, or compare without screening"
            )
        if self.settings.targets == "distribution":
            raise InputError(
                "screening trains on labels, and targets=distribution needs votes\n"
                "Take --set targets=labels, or compare without screening"
            )
        if self.settings.held_out:
            raise InputError(f"held_out={self.settings.held_out}: screening trains on every class\nRemove it")


def screen(
    screening: Screening,
    clips: PackedClips,
    cache_dir: Path,
    *,
    report: Report = silent,
    device: str | None = None,
) -> dict[tuple[str, int], Predictions]:
    """The predictions for the clips at `screening.test_positions`, in order, by (set name, seed).

    `cache_dir` holds features and predictions for reuse; it can be deleted at any time. `report` receives
    (epochs done, epochs, note), over all models. Raises InputError for clips and texts that do not fit,
    WorkError for a loss that is not finite.
    """
    if any(texts.class_names != clips.class_names for texts in screening.texts):
        raise InputError(f"the class texts are not for the classes of {clips.path}, in their order")
    settings = screening.settings
    clip = load_clip(settings.clip, settings.weights)
    tower = tower_facts(clip)
    paths = {
        (texts, seed): _path(cache_dir, screening, clips, tower, texts, seed)
        for texts, seed in itertools.product(screening.texts, screening.seeds)
    }
    missing = [pair for pair, path in paths.items() if not tensors_are_whole(path)]
    if missing:
        _train(missing, paths, screening, clip, clips, cache_dir, report, device)
    ids = [clips.clip_ids[index] for index in screening.test_positions]
    labels = clips.labels[screening.test_positions]
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
    cache_dir: Path,
    report: Report,
    device: str | None,
) -> None:
    """Train the models of `missing`, group by group, and write the predictions of each to its path."""
    settings = screening.settings
    require_precision(settings.precision, choose_device(device, tf32=settings.tf32))
    epochs = max(settings.epochs, 1)
    total = len(missing) * epochs

    def reading(clips_done: int, clips_total: int, note: str = "") -> None:
        report(clips_done, clips_total, note)

    features = KeptFeatures(clip, clips, settings, cache_dir, device)
    features.make(screening.test_positions, range(TEST, TEST + 1), reading)
    if settings.epochs:
        features.make(screening.learn, range(1, screening.views + 1), reading)
    done = 0
    for group in groups(clip, missing, settings, MOST_BYTES):

        def training(epoch: int, _: int, note: str = "", group: int = len(group), before: int = done) -> None:
            report(before * epochs + epoch * group, total, note)

        together = Together(
            clip,
            group,
            settings,
            features,
            screening.learn,
            screening.views,
            choose_device(device, tf32=settings.tf32),
        )
        short = "Screen fewer sets or seeds at once, or give --device cpu"
        with out_of_memory_error(together.device, f"{len(group)} models at once did not fit", short):
            together.train(training)
        for pair, logits in zip(group, together.answers(screening.test_positions), strict=True):
            write_tensors(paths[pair], save({"logits": np.ascontiguousarray(logits)}))
        done += len(group)
    report(total, total, "")


def _path(
    cache_dir: Path, screening: Screening, clips: PackedClips, tower: list[Any], texts: ClassTexts, seed: int
) -> Path:
    """The file of one model's predictions, named by the hash of all that determines them."""
    settings = screening.settings.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    for key in ADDED:
        if settings[key] == BEFORE[key]:
            del settings[key]
    shaping = [
        FORMAT,
        settings,
        tower,
        clips.fingerprint,
        texts.class_names,
        texts.texts,
        seed,
        screening.learn.tolist(),
        screening.test_positions.tolist(),
        screening.views,
    ]
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return cache_dir / "screened" / f"{digest}.safetensors"


def frozen(settings: Settings) -> Settings:
    """`settings` as a screening uses them: frozen image tower, last epoch."""
    return settings.model_copy(update={"lr_image": 0.0, "lora_rank": 0, "select": "last"})


@dataclass(frozen=True)
class Split:
    """Training clips and test clips: those of `fold`, or a share of several folds if it is 0."""

    fold: int
    learn: Indices
    test_positions: Indices


def splits_by_fold(clips: PackedClips, folds: Sequence[int]) -> tuple[Split, ...]:
    """The split of each fold: tested on it, trained on the others. Raises InputError for a missing fold."""
    return tuple(Split(fold, clips.train_indices(fold), clips.test_indices(fold)) for fold in folds)


def choosing_splits(clips: PackedClips, tested: Sequence[int], share: float) -> tuple[Split, ...]:
    """Splits of the clips outside the test folds `tested`, used to choose sets before they are tested.

    Each other fold is the test part in turn. If this leaves no training clips, or all clips are of fold 0,
    about `share` of each class's clips is the test part, the same for every seed. Raises InputError if every
    fold is a test fold, or the classes are too small.
    """
    usable = np.ones(len(clips), dtype=np.bool_)
    for fold in tested:
        usable &= clips.learnable(fold)
    left = np.flatnonzero(usable)
    if not len(left):
        raise InputError(
            f"every fold of {clips.path} is a test fold, so no clips are left to choose sets on\n"
            "Test on fewer folds, such as --folds 1, or screen without --then"
        )
    folds = [fold for fold in clips.fold_names() if fold not in tested]
    splits = tuple(
        Split(fold, left[clips.learnable(fold)[left]], left[clips.folds[left] == fold]) for fold in folds
    )
    if splits and all(len(each.learn) for each in splits):
        return splits
    try:
        learn, test_positions = split_by_class(left, clips.labels[left], share, seed=0)
    except ValueError:
        raise InputError(
            f"a share of {share:g} of the {len(left)} clips outside the test folds leaves a class without "
            "training clips or without clips to choose sets on\n"
            "Change it with --set val_share=..., or screen without --then"
        ) from None
    return (Split(0, learn, test_positions),)


def screened_answers(
    grid: Grid,
    splits: Sequence[Split],
    clips: PackedClips,
    cache_dir: Path,
    report: Report,
    device: str = "auto",
) -> Answers:
    """The predictions of each set of the grid for the test clips after a screening, by seed.

    `cache_dir` holds features and finished screenings for reuse. Raises as `screen` does, and InputError for
    settings that train on a few clips only.
    """
    if grid.settings.shots:
        raise InputError(
            f"shots={grid.settings.shots}: screening trains on all clips of the training folds\n"
            "Remove it; --measure few-shot compares sets on a few clips"
        )
    by_key: dict[tuple[str, int, int], Predictions] = {}
    for number, split in enumerate(splits):

        def within(
            done: int, total: int, note: str = "", number: int = number, fold: int = split.fold
        ) -> None:
            where = f"fold {fold}: {note}" if fold else note
            report(number * total + done, len(splits) * total, where)

        screening = Screening(grid.settings, grid.texts, grid.seeds, split.learn, split.test_positions)
        found = screen(screening, clips, cache_dir, report=within, device=device)
        by_key |= {(name, split.fold, seed): predictions for (name, seed), predictions in found.items()}
    report(len(splits), len(splits), "")
    return gathered_answers(by_key, grid.texts)


def screened(answers: Answers, settings: Settings) -> Measured:
    """The measure `screened` of the predictions after a screening under `settings`."""
    mixing = [name for name in ("mixup", "cutmix") if getattr(settings, name)]
    unmixed = (f"Screening trains on features, without mixing clips: {' and '.join(mixing)} had no effect.",)
    return Measured(
        "screened",
        (answers,),
        caveats=(
            "screened is trained on features of a frozen image tower and tested with the last epoch: it "
            "ranks sets, and its figures are not those of fine-tuning.",
            *(unmixed if mixing else ()),
            ANY_TEXTS,
        ),
    )
