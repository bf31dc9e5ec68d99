"""Screening: a quick comparison of sets on frozen features, and the choice of sets to fine-tune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..description_set import DescriptionSet
from ..errors import InputError, Interrupted
from ..provenance import seen_note
from .inputs import features_folder
from .launchers import RunContext

if TYPE_CHECKING:
    from dfer_model.comparison.grid import Grid
    from dfer_model.comparison.record import Screening
    from dfer_model.comparison.results import Answers, Measured
    from dfer_model.comparison.screening.screener import Split
    from dfer_model.data.packed import PackedClips


def require_screening(
    screen: bool,
    then: int | None,
    measures: Sequence[str],
    options: Sequence[object],
    select: str | None,
    engine: str | None,
    track: Sequence[str] | None,
) -> None:
    """Raise InputError for --then without --screen, and for options that a screening does not support."""
    if not screen:
        raise InputError(f"--then {then} requires --screen\nAdd it, or leave --then out")
    if then is not None:
        return
    if tuple(measures) != ("supervised",) or any(each is not None for each in options):
        raise InputError(
            "--screen excludes other measures and their options\n"
            "Leave them out, or measure the best sets with them: --then 3"
        )
    if engine is not None:
        raise InputError(
            f"--engine {engine}: a screening trains all sets at once, in this process\n"
            "Leave it out, or fine-tune the best sets with it: --then 3"
        )
    if track and "none" not in track:
        raise InputError(
            f"--track {track[0]}: a screening trains all sets at once and has no runs to log\n"
            "Leave it out, or log the fine-tuning of the best sets: --then 3"
        )
    if select not in (None, "last"):
        raise InputError(
            f"--select {select}: a screening uses the last epoch\n"
            "Leave it out, or select epochs of the best sets: --then 3"
        )


def require_choice(number: int, candidates: int, controls: int) -> None:
    """Raise InputError if `number` of the `candidates` cannot be chosen and then compared."""
    if number < 1:
        raise InputError(f"--then {number}: give the number of sets to fine-tune, 1 or more")
    if number >= candidates:
        raise InputError(
            f"--then {number}: there are only {candidates} sets besides controls\n"
            "Give more sets, or leave --screen and --then out"
        )
    if number + controls < 2:
        raise InputError(
            f"--then {number}: one set alone cannot be compared\nFine-tune more, or add --controls"
        )


def choose(
    candidates: Sequence[DescriptionSet], number: int, grid: Grid, clips: PackedClips, context: RunContext
) -> Screening:
    """The `number` best candidates on clips outside the grid's folds; the grid's first texts are theirs.

    Raises InputError if there are no such clips, and Interrupted on Ctrl-C.
    """
    from dfer_model.comparison.record import ScreenedSet, Screening
    from dfer_model.comparison.screening.screener import choosing_splits, frozen

    splits = choosing_splits(clips, grid.folds, grid.settings.val_share)
    grid = replace(grid, settings=frozen(grid.settings), texts=grid.texts[: len(candidates)])
    answers = _answers(grid, splits, clips, context)
    figures = {each.name: answers.figure(each.name, answers.uar) for each in grid.texts}
    ranked = sorted(figures.items(), key=lambda item: -item[1].mean)
    folds = [int(fold) for each in splits for fold in set(clips.folds[each.test_positions])]
    notes = [seen_note(each, clips.name, clips.fingerprint, folds) for each in candidates]
    return Screening(
        clips_judged=_test_folds_of(splits),
        sets=tuple(
            ScreenedSet(name=name, uar=uar, chosen=place < number) for place, (name, uar) in enumerate(ranked)
        ),
        notes=tuple(
            f"The screening may be optimistically biased for a set: {each}." for each in notes if each
        ),
    )


def _test_folds_of(splits: Sequence[Split]) -> str:
    clips = sum(len(each.test_positions) for each in splits)
    folds = ", ".join(str(each.fold) for each in splits if each.fold)
    if not folds:
        return f"{clips} clips outside the test folds, a share of each class"
    return f"{clips} clips of fold {folds}" + (", each in turn" if len(splits) > 1 else "")


def screened(grid: Grid, clips: PackedClips, context: RunContext) -> list[Measured]:
    """The results of a screening on the grid's folds, and of zero-shot.

    The grid's settings are `frozen`. Raises InputError for clips, texts or settings that do not fit, and
    Interrupted on Ctrl-C.
    """
    from dfer_model.comparison import measure as measuring
    from dfer_model.comparison.grid import check_grid
    from dfer_model.comparison.screening import screener
    from dfer_model.comparison.zero_shot import zero_shot_answers
    from dfer_model.models.clip import load_clip

    clip = load_clip(grid.settings.clip, grid.settings.weights)
    check_grid(grid, clip, clips)
    splits = screener.splits_by_fold(clips, grid.folds)
    answers = _answers(grid, splits, clips, context)
    with _stoppable(features_folder(context.workspace)) as cache, context.progress("zero-shot") as report:
        untrained = zero_shot_answers(grid, clip, clips, cache, report, context.device)
    return [measuring.zero_shot(untrained), screener.screened(answers, grid.settings)]


def _answers(grid: Grid, splits: Sequence[Split], clips: PackedClips, context: RunContext) -> Answers:
    """Which clips each set classifies correctly after a screening; the number of trainings is reported first.

    Raises Interrupted on Ctrl-C.
    """
    from dfer_model.comparison.screening.screener import screened_answers

    sets, seeds = len(grid.texts), len(grid.seeds)
    context.note(
        f"screening: {sets * len(splits) * seeds} trainings on stored frame features ({sets} sets x "
        f"{len(splits)} fold{'s' if len(splits) > 1 else ''} x {seeds} seed{'s' if seeds > 1 else ''}), "
        "those of a fold together"
    )
    with _stoppable(features_folder(context.workspace)) as cache, context.progress("screening") as report:
        return screened_answers(grid, splits, clips, cache, report, context.device)


@contextmanager
def _stoppable(folder: Path) -> Iterator[Path]:
    """A context that names the folder `kept` if the work is interrupted."""

    try:
        yield folder
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(
            f"Stopped; frame features and finished screenings are in {folder}\n"
            "Give the same command again to continue"
        ) from error
