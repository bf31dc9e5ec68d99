"""Grids of runs: every description set on every fold with every seed, each trained once, then found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .clip import Clip, token_ids
from .data.packed import PackedClips
from .runs import ClassTexts, Run, RunSpec
from .settings import Settings
from .training import train_run

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Grid:
    """What is compared, on what: `texts` x `folds` x `seeds` under one configuration."""

    settings: Settings
    texts: tuple[ClassTexts, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]

    def specs(self, clips: PackedClips) -> Iterator[RunSpec]:
        """The runs, all sets of a fold and seed before the next: stopped early, what is there compares."""
        for fold, seed, texts in itertools.product(self.folds, self.seeds, self.texts):
            yield RunSpec(self.settings, texts, clips.path, clips.fingerprint, fold, seed)

    def __len__(self) -> int:
        return len(self.texts) * len(self.folds) * len(self.seeds)


def check_grid(grid: Grid, clip: Clip, clips: PackedClips) -> None:
    """Raise InputError now for what would stop a run of the grid later: a fold, a text that does not fit."""
    for fold in grid.folds:
        clips.train_indices(fold)
        clips.test_indices(fold)
    check_texts(grid.texts, clip, grid.settings.contexts)


def check_texts(every: Sequence[ClassTexts], clip: Clip, contexts: int) -> None:
    """Raise InputError for a text that does not fit the text tower beside the contexts, by set and class."""
    for texts in every:
        for name, members in zip(texts.class_names, texts.texts, strict=True):
            for text in members:
                token_ids(clip, text, owner=f"{name} in {texts.name}", contexts=contexts)


def train_all(
    specs: Sequence[RunSpec], clips: PackedClips, runs: Path, report: Report, device: str = "auto"
) -> list[Run]:
    """Train what is not yet trained and return the run of every spec, in their order.

    A run that an earlier call has finished is found, one that was interrupted goes on from its last epoch.
    """
    done = []
    for number, spec in enumerate(specs):
        name = f"{spec.texts.name}, fold {spec.fold}, seed {spec.seed}"
        report(number, len(specs), name)

        def within(epoch: int, epochs: int, note: str = "", name: str = name, number: int = number) -> None:
            report(number, len(specs), f"{name}: epoch {epoch} of {epochs} {note}".rstrip())

        done.append(train_run(spec, clips, runs, report=within, device=device))
    report(len(specs), len(specs), "")
    return done
