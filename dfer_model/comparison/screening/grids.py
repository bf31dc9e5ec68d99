"""Screening a grid: on its test folds for a comparison, or on the other clips to choose sets to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.measure import ANY_TEXTS
from dfer_model.comparison.results import Answers, Measured, gathered_answers
from dfer_model.data.splits import split_by_class
from dfer_model.progress import Report

from ...config import Settings
from ...data.packed import PackedClips
from ...errors import InputError
from ...runs import Predictions
from .features import Indices
from .screener import Screening, screen


def frozen(settings: Settings) -> Settings:
    """`settings` as a screening uses them: frozen image tower, last epoch."""
    return settings.model_copy(update={"lr_image": 0.0, "lora_rank": 0, "select": "last"})


@dataclass(frozen=True)
class Split:
    """Training clips and test clips: those of `fold`, or a share of several folds if it is 0."""

    fold: int
    learn: Indices
    judge: Indices


def judging_splits(clips: PackedClips, folds: Sequence[int]) -> tuple[Split, ...]:
    """The split of each fold: tested on it, trained on the others. Raises InputError for a missing fold."""
    return tuple(Split(fold, clips.train_indices(fold), clips.test_indices(fold)) for fold in folds)


def choosing_splits(clips: PackedClips, judging: Sequence[int], share: float) -> tuple[Split, ...]:
    """Splits of the clips outside the test folds `judging`, used to choose sets before they are tested.

    Each other fold is the test part in turn. If this leaves no training clips, or all clips are of fold 0,
    about `share` of each class's clips is the test part, the same for every seed. Raises InputError if every
    fold is a test fold, or the classes are too small.
    """
    usable = np.ones(len(clips), dtype=np.bool_)
    for fold in judging:
        usable &= clips.learnable(fold)
    left = np.flatnonzero(usable)
    if not len(left):
        raise InputError(
            f"every fold of {clips.path} is a test fold, so no clips are left to choose sets on\n"
            "Test on fewer folds, such as --folds 1, or screen without --then"
        )
    folds = [fold for fold in clips.fold_names() if fold not in judging]
    splits = tuple(
        Split(fold, left[clips.learnable(fold)[left]], left[clips.folds[left] == fold]) for fold in folds
    )
    if splits and all(len(each.learn) for each in splits):
        return splits
    try:
        learn, judge = split_by_class(left, clips.labels[left], share, seed=0)
    except ValueError:
        raise InputError(
            f"a share of {share:g} of the {len(left)} clips outside the test folds leaves a class without "
            "training clips or without clips to choose sets on\n"
            "Change it with --set val_share=..., or screen without --then"
        ) from None
    return (Split(0, learn, judge),)


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

        screening = Screening(grid.settings, grid.texts, grid.seeds, split.learn, split.judge)
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
