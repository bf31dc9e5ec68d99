"""Screening a grid: on its folds for a comparison, or on all other clips to choose what to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.measure import ANY_TEXTS
from dfer_model.comparison.results import Answers, Measured, gathered_answers
from dfer_model.data.splits import split_by_class

from ...config import Settings
from ...data.packed import PackedClips
from ...errors import InputError
from ...runs import Predictions
from .features import Indices
from .screener import Screening, screen

Report = Callable[[int, int, str], None]


def frozen(settings: Settings) -> Settings:
    """`settings` as a screening follows them: the image tower as it is, and the last epoch."""
    return settings.model_copy(update={"lr_image": 0.0, "lora_rank": 0, "select": "last"})


@dataclass(frozen=True)
class Split:
    """Clips that are learned from, and those that judge: the clips of `fold`, or of several where it is 0."""

    fold: int
    learn: Indices
    judge: Indices


def judging_splits(clips: PackedClips, folds: Sequence[int]) -> tuple[Split, ...]:
    """Each fold judges what is learned from all others. Raises InputError for a fold that is not there."""
    return tuple(Split(fold, clips.train_indices(fold), clips.test_indices(fold)) for fold in folds)


def choosing_splits(clips: PackedClips, judging: Sequence[int], share: float) -> tuple[Split, ...]:
    """Splits of the clips of no `judging` fold, by which sets are chosen before those folds judge.

    Each other fold judges in turn what is learned from the rest. Where nothing would be left to learn from,
    or all are of fold 0, about `share` of each class's clips judges, the same for every seed. Raises
    InputError where every fold judges already, or the classes are too small.
    """
    usable = np.ones(len(clips), dtype=np.bool_)
    for fold in judging:
        usable &= clips.learnable(fold)
    left = np.flatnonzero(usable)
    if not len(left):
        raise InputError(
            f"every fold of {clips.path} judges, and no clip is left to choose sets by\n"
            "Let fewer folds judge, such as --folds 1, or screen without --then"
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
            f"a share of {share:g} of the {len(left)} clips outside the judging folds leaves some class "
            "without a clip to choose sets by, or to learn from\n"
            "Give another with --set val_share=..., or screen without --then"
        ) from None
    return (Split(0, learn, judge),)


def screened_answers(
    grid: Grid,
    splits: Sequence[Split],
    clips: PackedClips,
    kept: Path,
    report: Report,
    device: str = "auto",
) -> Answers:
    """Which judging clips each set of the grid answers rightly after a screening, by seed.

    `kept` is the folder of features and finished screenings. Raises as `screen` does, and InputError for
    settings that train on a few clips only.
    """
    if grid.settings.shots:
        raise InputError(
            f"shots={grid.settings.shots}: a screening learns from all clips of the training folds\n"
            "Leave it off; --measure few-shot compares sets on a few clips"
        )
    by_key: dict[tuple[str, int, int], Predictions] = {}
    for number, split in enumerate(splits):

        def within(
            done: int, total: int, note: str = "", number: int = number, fold: int = split.fold
        ) -> None:
            where = f"fold {fold}: {note}" if fold else note
            report(number * total + done, len(splits) * total, where)

        asked = Screening(grid.settings, grid.texts, grid.seeds, split.learn, split.judge)
        said = screen(asked, clips, kept, report=within, device=device)
        by_key |= {(name, split.fold, seed): answered for (name, seed), answered in said.items()}
    report(len(splits), len(splits), "")
    return gathered_answers(by_key, grid.texts)


def screened(answers: Answers, settings: Settings) -> Measured:
    """The measure `screened` of answers after a screening under `settings`."""
    mixing = [name for name in ("mixup", "cutmix") if getattr(settings, name)]
    unmixed = (f"A screening does not mix clips: {' and '.join(mixing)} had no part in it.",)
    return Measured(
        "screened",
        (answers,),
        caveats=(
            "screened is trained on what a frozen image tower says of the clips, and its last epoch judges: "
            "it ranks sets, and its figures are not those of fine-tuning.",
            *(unmixed if mixing else ()),
            ANY_TEXTS,
        ),
    )
