"""Screening a grid: training and test clips of the splits, and how the predictions are joined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.screening import Screening, screen
from dfer_model.comparison.screening.screener import (
    choosing_splits,
    frozen,
    screened,
    screened_answers,
    splits_by_fold,
)
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError

from ... import tiny


def pack(path: Path, folds: dict[int, int], per_class: int = 6) -> PackedClips:
    """Clips of three folds, those of fold f in fold `folds[f]` instead."""
    rows = [{**row, "fold": folds[row["fold"]]} for row in tiny.rows(per_class=per_class, folds=3)]
    return write_packed(rows, tiny.CLASSES, path, {"dataset": "tiny"})


def test_a_test_fold_is_predicted_by_models_of_all_other_folds(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 0})
    (split,) = splits_by_fold(clips, [2])
    assert (split.fold, {*clips.folds[split.test_positions]}, {*clips.folds[split.learn]}) == (2, {2}, {0, 1})
    assert len(split.test_positions) + len(split.learn) == len(clips)


def test_each_other_fold_is_the_validation_fold_in_turn(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 3})
    first, second = choosing_splits(clips, [1], share=0.1)
    assert ({*clips.folds[first.test_positions]}, {*clips.folds[first.learn]}) == ({2}, {3})
    assert ({*clips.folds[second.test_positions]}, {*clips.folds[second.learn]}) == ({3}, {2})
    assert len(first.test_positions) == len(second.test_positions) == 6


def test_clips_without_a_test_fold_are_training_clips(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 0})
    (split,) = choosing_splits(clips, [1], share=0.1)
    assert ({*clips.folds[split.test_positions]}, {*clips.folds[split.learn]}) == ({2}, {0})


@pytest.mark.parametrize("others", [{2: 2, 3: 2}, {2: 0, 3: 0}], ids=["one fold", "fold 0"])
def test_without_other_folds_a_share_of_each_class_is_for_validation(
    others: dict[int, int], tmp_path: Path
) -> None:
    clips = pack(tmp_path / "packed", {1: 1, **others})
    (split,) = choosing_splits(clips, [1], share=0.25)
    assert np.bincount(clips.labels[split.test_positions]).tolist() == [1, 1, 1]
    assert sorted([*split.test_positions, *split.learn]) == np.flatnonzero(clips.folds != 1).tolist()


def test_splits_without_validation_clips_are_refused(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 2}, per_class=3)
    with pytest.raises(InputError, match=r"every fold of .* is a test fold.*\n.*--folds 1"):
        choosing_splits(clips, [1, 2], share=0.5)
    with pytest.raises(InputError, match=r"a share of 0\.1 of the 6 clips.*\n.*val_share"):
        choosing_splits(clips, [1], share=0.1)


def test_predictions_are_joined_by_fold_and_seed(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 2})
    other = replace(tiny.TEXTS, name="other", texts=tuple(reversed(tiny.TEXTS.texts)))
    settings = frozen(tiny.settings(frames=2, select="test-best"))
    assert (settings.lr_image, settings.select) == (0, "last")
    grid = Grid(settings, (tiny.TEXTS, other), (1, 2), (3, 1))
    reports: list[tuple[int, int]] = []
    answers = screened_answers(
        grid,
        splits_by_fold(clips, grid.folds),
        clips,
        tmp_path / "kept",
        lambda done, total, _: reports.append((done, total)),
    )
    assert answers.folds.tolist() == [1] * 6 + [2] * 12
    for fold in grid.folds:
        request = Screening(settings, grid.texts, (1, 3), clips.train_indices(fold), clips.test_indices(fold))
        screened = screen(request, clips, tmp_path / "afresh")
        mine = answers.folds == fold
        for (name, seed), each in screened.items():
            row = (1, 3).index(seed)
            right = each.logits.argmax(axis=1) == each.labels
            assert answers.correct[name][row, mine].tolist() == right.tolist()
    assert reports[-1][0] == reports[-1][1]


def test_settings_ignored_by_screening_are_noted_or_refused(tmp_path: Path) -> None:
    clips = pack(tmp_path / "packed", {1: 1, 2: 2, 3: 2})
    few = Grid(tiny.settings(shots=1), (tiny.TEXTS,), (1,), (1,))
    with pytest.raises(InputError, match=r"shots=1: screening trains on all clips"):
        screened_answers(few, splits_by_fold(clips, [1]), clips, tmp_path, lambda *_: None)
    answers = screened_answers(
        Grid(tiny.settings(epochs=0), (tiny.TEXTS,), (1,), (1,)),
        splits_by_fold(clips, [1]),
        clips,
        tmp_path,
        lambda *_: None,
    )
    assert any("mixup had no effect" in each for each in screened(answers, tiny.settings(mixup=0.2)).caveats)
    assert not any("mixup" in each for each in screened(answers, tiny.settings()).caveats)
