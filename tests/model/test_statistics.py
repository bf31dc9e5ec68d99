"""The statistics against figures worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dfer_model.statistics import figure_interval, paired_difference, uar_weights, war_weights

LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 1])
FOLDS = np.array([1, 1, 1, 1, 2, 2, 2, 2])


def test_weights_give_the_mean_over_folds_of_the_published_measures() -> None:
    rng = np.random.default_rng(0)
    labels, folds = rng.integers(0, 4, 200), rng.integers(1, 6, 200)
    guesses = np.where(rng.random(200) < 0.5, labels, rng.integers(0, 4, 200))
    by_fold = [(labels[folds == fold], guesses[folds == fold]) for fold in range(1, 6)]
    right = guesses == labels
    expected_uar = 100 * np.mean([balanced_accuracy_score(*pair) for pair in by_fold])
    expected_war = 100 * np.mean([accuracy_score(*pair) for pair in by_fold])
    assert (uar_weights(labels, folds) * right).sum() == pytest.approx(expected_uar)
    assert (war_weights(folds) * right).sum() == pytest.approx(expected_war)


def test_a_class_absent_from_a_fold_does_not_count_there() -> None:
    weights = uar_weights(np.array([0, 0, 1, 0]), np.array([1, 1, 1, 2]))
    assert weights.tolist() == pytest.approx([12.5, 12.5, 25.0, 50.0])


def test_difference_and_its_parts_by_hand() -> None:
    # Fold 1: class 0 has three clips, class 1 one; fold 2: one and three.
    first = np.array([[1, 1, 0, 1, 1, 1, 1, 0]], dtype=bool)  # recalls 2/3, 1 | 1, 2/3
    second = np.array([[1, 0, 0, 1, 0, 1, 0, 0]], dtype=bool)  # recalls 1/3, 1 | 0, 1/3
    difference = paired_difference(first, second, uar_weights(LABELS, FOLDS), LABELS, FOLDS)
    assert difference.per_fold == pytest.approx({1: 100 / 6, 2: 100 * (1 + 1 / 3) / 2})
    assert difference.value == pytest.approx((100 / 6 + 200 / 3) / 2)
    assert difference.low <= difference.value <= difference.high


def test_the_same_answers_are_indistinguishable_with_an_interval_of_zero() -> None:
    answers = np.random.default_rng(1).random((3, 8)) < 0.5
    difference = paired_difference(answers, answers, war_weights(FOLDS), LABELS, FOLDS)
    assert (difference.low, difference.value, difference.high) == (0.0, 0.0, 0.0)
    assert difference.verdict == "indistinguishable"


def test_interval_has_the_width_that_theory_gives() -> None:
    # One class, one fold: the difference is a mean of 2,000 gains of -1, 0, 1, whose standard error is known.
    rng = np.random.default_rng(2)
    first, second = rng.random((1, 2000)) < 0.6, rng.random((1, 2000)) < 0.5
    ones = np.ones(2000, dtype=np.int64)
    difference = paired_difference(first, second, war_weights(ones), ones, ones)
    gains = first[0].astype(float) - second[0]
    half_width = 1.96 * 100 * gains.std() / np.sqrt(2000)
    assert difference.high - difference.value == pytest.approx(half_width, rel=0.1)
    assert difference.value - difference.low == pytest.approx(half_width, rel=0.1)
    assert difference.verdict == "better"


def test_disagreement_between_seeds_widens_the_interval() -> None:
    # Both sets answer alike on average; with every seed the gain is all clips or none.
    ones = np.ones(50, dtype=np.int64)
    first = np.array([[True] * 50, [False] * 50])
    difference = paired_difference(first, ~first, war_weights(ones), ones, ones)
    assert (difference.low, difference.high) == pytest.approx((-100.0, 100.0))


def test_the_interval_is_the_same_each_time() -> None:
    first, second = np.random.default_rng(3).random((2, 1, 8)) < 0.5
    weights = uar_weights(LABELS, FOLDS)
    once = paired_difference(first, second, weights, LABELS, FOLDS)
    assert once == paired_difference(first, second, weights, LABELS, FOLDS)


def test_a_figure_s_interval_has_the_width_that_theory_gives() -> None:
    # Two classes of 1,000 clips answered with known recalls: the variance of their mean is known.
    labels, folds = np.repeat([0, 1], 1000), np.ones(2000, dtype=np.int64)
    correct = np.tile(np.arange(1000) < 700, 2) & (labels == 0) | (
        np.tile(np.arange(1000) < 400, 2) & (labels == 1)
    )
    interval = figure_interval(correct, uar_weights(labels, folds), labels, folds)
    half_width = 1.96 * 100 * np.sqrt((0.7 * 0.3 + 0.4 * 0.6) / 1000) / 2
    assert interval.value == pytest.approx(55.0)
    assert interval.high - interval.value == pytest.approx(half_width, rel=0.1)
    assert interval.value - interval.low == pytest.approx(half_width, rel=0.1)


def test_strata_without_luck_have_an_interval_of_zero() -> None:
    # All clips of class 0 right, all of class 1 wrong: however they are resampled, recalls are 1 and 0.
    interval = figure_interval(LABELS == 0, uar_weights(LABELS, FOLDS), LABELS, FOLDS)
    assert (interval.low, interval.value, interval.high) == pytest.approx((50.0, 50.0, 50.0))
