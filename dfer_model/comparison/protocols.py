"""Five measures of what a text is worth, and what each of them trains.

    zero-shot        CLIP as it is, no training at all
    supervised       trained on all clips of the training folds; its figures are called `trained`
    few-shot         trained on a few clips of each class, for several numbers of them
    held-out-class   trained without one class, and asked for it: each class in turn
    transfer         trained on one dataset, judged on another by the texts of its classes

Where labels abound a classifier learns any distinct class weights; where they lack, the text must say what a
class looks like. That is why all but the second tell more of a text than the second does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.splits import training_clips
from dfer_model.errors import InputError
from dfer_model.evaluation.retarget import READ_TEXTS, require_retextable
from dfer_model.runs import Run, RunSpec

from .grid import Grid

SHOTS = (0, 1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Training:
    """What a measure trains: every run of `grid` under each of the `variants` of its settings."""

    measure: str
    grid: Grid
    variants: Mapping[str, Settings]  # by number of shots, by class left out, or one under ""

    def specs(self, clips: PackedClips) -> list[RunSpec]:
        """The runs, all sets of one training before the next: stopped early, what is there compares."""
        return [
            replace(spec, settings=settings)
            for settings in self.variants.values()
            for spec in self.grid.specs(clips)
        ]

    def by_variant(self, runs: Sequence[Run]) -> dict[str, Sequence[Run]]:
        """The runs of `specs`, by variant."""
        return {
            name: runs[number * len(self.grid) : (number + 1) * len(self.grid)]
            for number, name in enumerate(self.variants)
        }

    def __str__(self) -> str:
        """How many trainings that is, and why: for who waits for them."""
        grid = self.grid
        factors = [
            (len(grid.texts), "set", "sets"),
            (len(grid.folds), "fold", "folds"),
            (len(grid.seeds), "seed", "seeds"),
        ]
        if self.measure == "few-shot":
            factors.append((len(self.variants), "number of shots", "numbers of shots"))
        if self.measure == "held-out-class":
            factors.append((len(self.variants), "class held out", "classes held out in turn"))
        product = " x ".join(f"{number} {one if number == 1 else many}" for number, one, many in factors)
        return f"{self.measure}: {len(grid) * len(self.variants)} trainings ({product})"


def training_for(measure: str, grid: Grid, class_names: Sequence[str], shots: Sequence[int]) -> Training:
    """What `measure` (any but zero-shot) trains.

    `held-out-class` and `transfer` share the contexts among all classes, but where there are none: a class
    that is not trained on has none of its own. Raises InputError for what cannot be measured so.
    """
    settings = grid.settings
    if settings.classifier not in READ_TEXTS:
        raise InputError(
            f"a {settings.classifier} classifier reads no texts: every set would be the same to it\n"
            "Take --strategy dfer-clip, coop or cocoop"
        )
    shared = settings
    if settings.contexts:
        shared = settings.model_copy(update={"context_kind": "unified", "member_contexts": "shared"})
    if measure == "few-shot":
        return Training(
            measure, grid, {str(n): settings.model_copy(update={"shots": n}) for n in shots if n > 0}
        )
    if measure == "held-out-class":
        if len(class_names) < 3:
            raise InputError(
                f"held-out-class needs three classes or more, and there are {len(class_names)}: "
                "of two, one alone is left, and nothing to tell it from\nTake another --measure"
            )
        return Training(
            measure, grid, {name: shared.model_copy(update={"held_out": name}) for name in class_names}
        )
    if measure == "transfer":
        require_retextable(shared)
        return Training(measure, grid, {"": shared})
    return Training(measure, grid, {"": settings})


def check_training(training: Training, clips: PackedClips) -> None:
    """Raise InputError now for clips that would stop a training later."""
    for settings, fold, seed in itertools.product(
        training.variants.values(), training.grid.folds, training.grid.seeds
    ):
        training_clips(clips, settings, fold, seed)
