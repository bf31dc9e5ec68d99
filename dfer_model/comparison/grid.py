"""Grids of runs: every description set on every fold with every seed. Finished runs are reused."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.errors import BusyError, InputError
from dfer_model.launch import launched
from dfer_model.launchers.dispatch import train_by
from dfer_model.launchers.launcher import Engine
from dfer_model.memory import free_unused
from dfer_model.models.clip import Clip, token_ids
from dfer_model.progress import Report
from dfer_model.runs import ClassTexts, Run, RunSpec
from dfer_model.training.loggers import Tracking
from dfer_model.training.loop import train_run
from dfer_model.training.run_lock import taken

WAIT_S = 1.0  # between checks of runs that other processes train


@dataclass(frozen=True)
class Grid:
    """The compared sets, folds and seeds, under one configuration."""

    settings: Settings
    texts: tuple[ClassTexts, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]

    def specs(self, clips: PackedClips) -> Iterator[RunSpec]:
        """The runs, all sets of a fold and seed first, so that an interrupted grid has comparable runs."""
        for fold, seed, texts in itertools.product(self.folds, self.seeds, self.texts):
            yield RunSpec(self.settings, texts, clips.path, clips.fingerprint, fold, seed)

    def __len__(self) -> int:
        return len(self.texts) * len(self.folds) * len(self.seeds)


@dataclass(frozen=True)
class Training:
    """What a protocol trains: every run of `grid` under each of the `variants` of its settings."""

    measure: str
    grid: Grid
    variants: Mapping[str, Settings]  # by number of shots or by held-out class; a single one under ""
    counted: tuple[str, str] | None = None  # what the variants are: singular, plural

    def specs(self, clips: PackedClips) -> list[RunSpec]:
        """The runs, variant by variant, so that an interrupted grid still has comparable runs."""
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
        """The number of trainings and its factors."""
        grid = self.grid
        factors = [
            (len(grid.texts), "set", "sets"),
            (len(grid.folds), "fold", "folds"),
            (len(grid.seeds), "seed", "seeds"),
        ]
        if self.counted:
            factors.append((len(self.variants), *self.counted))
        product = " x ".join(f"{number} {one if number == 1 else many}" for number, one, many in factors)
        return f"{self.measure}: {len(grid) * len(self.variants)} trainings ({product})"


def check_grid(grid: Grid, clip: Clip, clips: PackedClips) -> None:
    """Raise InputError for what would stop a run of the grid later: a fold or text that does not fit."""
    for fold in grid.folds:
        clips.train_indices(fold)
        clips.test_indices(fold)
    check_texts(grid.texts, clip, grid.settings.contexts)


def check_texts(every: Sequence[ClassTexts], clip: Clip, contexts: int) -> None:
    """Raise InputError, with set and class, for a text that does not fit the text tower with the contexts."""
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
    """Train the specs that have no finished run, and return the run of every spec, in order.

    Finished runs are reused; an interrupted run is resumed from its last checkpoint. A run that another
    process is training is left to it: the others are trained first, then this call waits for it, and trains
    it if that process dies. `names` are the displayed names of the runs.
    Runs are trained one after another in this process, or by `engine` (see `train_by`, which reports restarts
    to `note`); `trackers` log each run under its id. Raises InputError if torchrun started several processes.
    """
    if launched().several:
        raise InputError(
            f"a grid of runs is trained from one process; torchrun started {launched().count}\n"
            "Run the command without torchrun; --engine with --jobs trains several runs at a time"
        )
    names = names or [spec.title for spec in specs]
    note = _each_once(note)
    if engine is not None:
        free_unused()  # the jobs may need the memory of the features computed here
        train_by(engine, specs, names, runs, report, note, trackers)
        return [Run.open(spec.folder(runs)).named(spec.texts.name) for spec in specs]
    # Finished runs first: they take no time, and would distort the ETA of the others.
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
                    # Notes of one training hold for all with the same settings.
                    train_note = None if spec.settings in announced else note
                    announced.add(spec.settings)
                    done[number] = train_run(
                        spec, clips, runs, report=within, device=device, tracking=tracking, note=train_note
                    )
                free_unused()
        if len(done) == before:
            first = next(name for number, name in enumerate(names) if number not in done)
            report(before, len(specs), f"{first}: waiting for the process that trains it")
            time.sleep(WAIT_S)
    report(len(specs), len(specs), "")
    return [done[number] for number in range(len(specs))]


def _each_once(note: Callable[[str], None]) -> Callable[[str], None]:
    """`note`, called once per text."""
    seen: set[str] = set()

    def once(text: str) -> None:
        if text not in seen:
            seen.add(text)
            note(text)

    return once


def _within(report: Report, name: str, done: int, total: int) -> Report:
    """The report of one run as a part of the grid's."""
    report(done, total, name)

    def within(epoch: float, epochs: int, note: str = "") -> None:
        place = done + (epoch / epochs if epochs else 0)
        completed = f"{name}: {int(epoch)} of {epochs} epochs"
        report(place, total, f"{completed}; {note}" if note else completed)

    return within
