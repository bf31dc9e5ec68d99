"""Grids of runs: every description set on every fold with every seed, each trained once, then found."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.errors import BusyError, InputError
from dfer_model.launch import launched
from dfer_model.launchers.dispatch import train_by
from dfer_model.launchers.launcher import Engine
from dfer_model.models.clip import Clip, token_ids
from dfer_model.runs import ClassTexts, Run, RunSpec
from dfer_model.training.loggers import Tracking
from dfer_model.training.loop import train_run
from dfer_model.training.run_lock import taken

Report = Callable[[float, int, str], None]
WAIT_S = 1.0  # between looks at runs that other processes train


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
    specs: Sequence[RunSpec],
    clips: PackedClips,
    runs: Path,
    report: Report,
    device: str = "auto",
    names: Sequence[str] = (),
    engine: Engine | None = None,
    note: Callable[[str], None] = lambda _: None,
    trackers: Sequence[str] = (),
) -> list[Run]:
    """Train what is not yet trained and return the run of every spec, in their order.

    A run that an earlier call has finished is found, one that was interrupted goes on from its last epoch.
    One that another process trains now is left to it: the others are trained meanwhile, then it is waited
    for, and taken over should that process die. `names` are what a person calls the runs.
    They are trained one after another in this process, or by `engine` (see `train_by`, which tells `note` of
    those that it begins again), and each is followed by `trackers`, under its own id. Raises InputError in a
    process that torchrun started among several.
    """
    if launched().several:
        raise InputError(
            "a grid of runs is trained by one process\n"
            "Give the same command without torchrun, and several runs at a time by an engine's jobs"
        )
    names = names or [spec.title for spec in specs]
    note = _each_once(note)
    if engine is not None:
        train_by(engine, specs, names, runs, report, note, trackers)
        return [Run.open(spec.folder(runs)).named(spec.texts.name) for spec in specs]
    # Those that are finished first: the time that they do not take says nothing of the others.
    found = {number: spec.folder(runs) for number, spec in enumerate(specs)}
    done = {
        number: Run.open(folder).named(specs[number].texts.name)
        for number, folder in found.items()
        if (folder / "result.json").is_file()
    }
    announced: set[Settings] = set()
    while len(done) < len(specs):
        before = len(done)
        for number, spec in enumerate(specs):
            if number not in done and not taken(spec.folder(runs)):
                within = _within(report, names[number], len(done), len(specs))
                with suppress(BusyError):
                    tracking = Tracking(trackers, note)
                    # One training of a kind says what the others need, too.
                    tell = None if spec.settings in announced else note
                    announced.add(spec.settings)
                    done[number] = train_run(
                        spec, clips, runs, report=within, device=device, tracking=tracking, note=tell
                    )
        if len(done) == before:
            first = next(name for number, name in enumerate(names) if number not in done)
            report(before, len(specs), f"{first}: waiting for the process that trains it")
            time.sleep(WAIT_S)
    report(len(specs), len(specs), "")
    return [done[number] for number in range(len(specs))]


def _each_once(note: Callable[[str], None]) -> Callable[[str], None]:
    """As `note`, which is not told the same twice."""
    told: set[str] = set()

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            note(text)

    return once


def _within(report: Report, name: str, done: int, total: int) -> Report:
    """A run's own report, as a part of the grid's."""
    report(done, total, name)

    def within(epoch: float, epochs: int, note: str = "") -> None:
        place = done + (epoch / epochs if epochs else 0)
        report(place, total, f"{name}: epoch {int(epoch)} of {epochs} {note}".rstrip())

    return within
