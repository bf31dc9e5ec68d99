"""The statistics against figures worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dfer_model.comparison.multiple_tests import holm
from dfer_model.comparison.statistics import (
    figure_interval,
    mcnemar,
    paired_difference,
    uar_weights,
    war_weights,
)

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


def test_equal_predictions_have_an_interval_of_zero() -> None:
    answers = np.random.default_rng(1).random((3, 8)) < 0.5
    difference = paired_difference(answers, answers, war_weights(FOLDS), LABELS, FOLDS)
    assert (difference.low, difference.value, difference.high) == (0.0, 0.0, 0.0)
    assert difference.p == 1.0
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


def by_seed(*points: float, folds: int = 1, classes: int = 2, clips: int = 100) -> tuple[np.ndarray, ...]:
    """Answers of two sets that differ by so many points with each seed, in every fold and class alike.

    The second set answers the last half of a class's clips rightly; returns answers, labels and folds.
    """
    of_class = np.arange(clips)
    one = np.stack([of_class < clips * (0.5 + each / 100) for each in points])
    first = np.tile(one, folds * classes)
    second = np.tile(np.tile(of_class < clips / 2, (len(points), 1)), folds * classes)
    labels = np.tile(np.repeat(np.arange(classes), clips), folds)
    return first, second, labels, np.repeat(np.arange(folds), classes * clips)


@pytest.mark.parametrize(("folds", "classes"), [(1, 1), (1, 4), (3, 1), (3, 2)])
def test_the_seed_variance_uses_student_t_and_counts_once(folds: int, classes: int) -> None:
    # Differences of -2, 0 and 4 points: mean 2/3, standard error sqrt(28 / 3 / 3); t is 4.303 at 2 degrees
    # of freedom. Fewer clips decide than seeds disagree on, so the interval is that of the seeds alone, and
    # the width does not depend on the number of strata: they share the seed variance.
    first, second, labels, fold_of = by_seed(-2, 0, 4, folds=folds, classes=classes)
    difference = paired_difference(first, second, war_weights(fold_of), labels, fold_of)
    half_width = 4.303 * np.sqrt(28 / 9)
    assert difference.value == pytest.approx(2 / 3)
    assert difference.high - difference.value == pytest.approx(half_width, rel=0.12)
    assert difference.value - difference.low == pytest.approx(half_width, rel=0.12)


def test_two_seeds_give_a_wide_interval() -> None:
    # Differences of 10 and 14 points, standard error 2: the t of 1 degree of freedom is 12.706.
    first, second, labels, folds = by_seed(10, 14, clips=5000)
    difference = paired_difference(first, second, uar_weights(labels, folds), labels, folds)
    assert difference.high - difference.value == pytest.approx(12.706 * 2, rel=0.2)
    assert difference.verdict == "indistinguishable"
    once = paired_difference(first[:1], second[:1], uar_weights(labels, folds), labels, folds)
    assert once.verdict == "better"


def test_intervals_stay_within_possible_values() -> None:
    ones = np.ones(50, dtype=np.int64)
    first = np.array([[True] * 50, [False] * 50])
    difference = paired_difference(first, ~first, war_weights(ones), ones, ones)
    assert (difference.low, difference.high) == pytest.approx((-100.0, 100.0))


def test_clips_that_change_with_the_seed_are_not_counted_twice() -> None:
    # Every clip's gain is -1, 0 or 1 anew with each of 50 seeds: the spread over seeds holds all
    # variance there is, and the standard error is that of 50 * 400 independent gains.
    rng = np.random.default_rng(4)
    first, second = rng.random((2, 50, 400)) < 0.5
    ones = np.ones(400, dtype=np.int64)
    difference = paired_difference(first, second, war_weights(ones), ones, ones)
    half_width = 2.01 * 100 * np.sqrt(0.5 / (50 * 400))
    assert difference.high - difference.low == pytest.approx(2 * half_width, rel=0.25)


@pytest.mark.parametrize("others", [np.ones(12, dtype=np.int64), np.repeat([1, 1, 2], 4)])
def test_clips_are_resampled_within_fold_and_class(others: np.ndarray) -> None:
    # The gain is the same for all clips of a class, and differs between classes (or folds): there is no
    # sampling variance of the clips. Resampled over both classes of a fold, or over folds, there would be.
    halves = np.tile([0, 1], 6)
    first = np.array([halves == 0])
    for labels, folds in ((halves, others), (others, halves)):
        weights = uar_weights(labels, folds)
        difference = paired_difference(first, ~first, weights, labels, folds)
        assert difference.high - difference.low == pytest.approx(0.0, abs=1e-9)


def test_the_variance_of_a_class_with_few_clips_is_unbiased() -> None:
    # Two clips, one gained: the standard error is that of a mean of two with n - 1, 100 * 0.7071 / sqrt(2).
    # Drawn with replacement as often as there are clips, it would be 35 points and not 50.
    labels = np.repeat(np.arange(200), 2)
    ones = np.ones(400, dtype=np.int64)
    first = np.array([np.tile([True, False], 200)])
    difference = paired_difference(first, np.zeros_like(first), uar_weights(labels, ones), labels, ones)
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * 50 / np.sqrt(200), rel=0.06)


def test_variance_that_seeds_share_is_separated_from_their_own_for_few_clips() -> None:
    # 40 classes of two clips, one gained with both seeds: that variance is shared. 90 classes of ten clips,
    # one half gained with one seed and the other half with the next: in the mean of the seeds no variance is
    # left, and in each of them a quarter as much as the first has, k / (n - 1) of each kind. The variance
    # that the seeds share is 2 * 1 - (1 + 1/4) of the first.
    labels = np.concatenate([np.repeat(np.arange(40), 2), np.repeat(np.arange(40, 130), 10)])
    ones, half = np.ones(len(labels), dtype=np.int64), np.tile(np.arange(10) < 5, 90)
    pairs = np.tile([True, False], 40)
    first = np.stack([np.concatenate([pairs, half]), np.concatenate([pairs, ~half])])
    difference = paired_difference(first, np.zeros_like(first), uar_weights(labels, ones), labels, ones)
    of_pairs = 40 * (100 / 130 / 2) ** 2  # the variance: of two clips, of which one is gained, weight squared
    half_width = 1.96 * np.sqrt(0.75 * of_pairs)
    assert difference.high - difference.low == pytest.approx(2 * half_width, rel=0.06)


def test_p_values_are_bounded_by_the_number_of_resamples() -> None:
    ones = np.ones(50, dtype=np.int64)
    first = np.array([[True] * 50])
    difference = paired_difference(first, ~first, war_weights(ones), ones, ones)
    assert difference.p == pytest.approx(2 / 4000)


def test_p_value_and_interval_agree_on_significance() -> None:
    rng = np.random.default_rng(5)
    labels, ones = np.repeat([0, 1], 60), np.ones(120, dtype=np.int64)
    weights = uar_weights(labels, ones)
    shown = []
    for trial in range(60):
        first, second = rng.random((1, 120)) < 0.62, rng.random((1, 120)) < 0.5
        each = paired_difference(first, second, weights, labels, ones, seed=trial)
        assert (each.p <= 0.05) == (each.low > 0 or each.high < 0)
        assert each.verdict == (
            "indistinguishable" if each.p > 0.05 else "better" if each.value > 0 else "worse"
        )
        shown.append(each.p <= 0.05)
    assert 0 < sum(shown) < 60


def test_p_is_that_of_the_normal_distribution_where_clips_are_many() -> None:
    # 2,000 clips, 540 gained and 480 lost: z = 60 / sqrt(1020 - 60**2 / 2000) = 1.880, p = 0.0601
    gains = np.repeat([1, -1, 0], [540, 480, 980])
    ones = np.ones(2000, dtype=np.int64)
    first, second = (gains == 1)[None], (gains == -1)[None]
    difference = paired_difference(first, second, war_weights(ones), ones, ones)
    assert difference.p == pytest.approx(0.0601, abs=0.012)


def test_the_rate_of_false_positives_is_nominal() -> None:
    # Two seeds whose variance outweighs that of the clips: the worst case. Of 300 trials 5% are 15, and with
    # the sampling error of the trials 27; seeds resampled like clips would give about 120.
    rng = np.random.default_rng(6)
    labels, ones = np.repeat([0, 1], 40), np.ones(80, dtype=np.int64)
    weights = uar_weights(labels, ones)
    apart = 0
    for trial in range(300):
        recalls = np.clip(0.5 + 0.15 * rng.normal(size=(2, 2, 1)), 0, 1)
        first, second = rng.random((2, 2, 80)) < recalls
        each = paired_difference(first, second, weights, labels, ones, seed=trial)
        apart += each.verdict != "indistinguishable"
    assert apart <= 27


def test_mcnemar_by_hand() -> None:
    # 1 clip for the first set, 5 for the second, 4 for neither: 2 * (1 + 6) / 2**6
    first = np.array([[1, 0, 0, 0, 0, 0, 1, 1, 0, 0]], dtype=bool)
    second = np.array([[0, 1, 1, 1, 1, 1, 1, 1, 0, 0]], dtype=bool)
    result = mcnemar(first, second)
    assert (result.first_only, result.second_only) == (1, 5)
    assert result.p == pytest.approx(14 / 64)


def test_mcnemar_counts_a_clip_once_however_many_seeds_answer_it() -> None:
    # Clip 0 is right with 2 seeds against 1, clip 1 with 1 against 1, clip 2 with 0 against 3.
    first = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    second = np.array([[0, 0, 1], [1, 1, 1], [0, 0, 1]], dtype=bool)
    result = mcnemar(first, second)
    assert (result.first_only, result.second_only, result.p) == (1, 1, 1.0)


def test_mcnemar_of_equal_predictions_is_one() -> None:
    answers = np.array([[True, False]])
    assert mcnemar(answers, answers).p == 1.0


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        # sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, and never falling
        ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.9, 0.6], [1.0, 1.0]),
    ],
)
def test_holm_by_hand(p_values: list[float], corrected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(corrected)


def test_the_interval_is_reproducible() -> None:
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


def test_strata_without_variance_have_an_interval_of_zero() -> None:
    # All clips of class 0 right, all of class 1 wrong: however they are resampled, recalls are 1 and 0.
    labels, folds = np.repeat([0, 1], 3), np.ones(6, dtype=np.int64)
    interval = figure_interval(labels == 0, uar_weights(labels, folds), labels, folds)
    assert (interval.low, interval.value, interval.high) == pytest.approx((50.0, 50.0, 50.0))


def test_lone_clips_of_a_fold_are_resampled_together() -> None:
    # Eleven classes of one clip each, 4 of which the second alone answers: the figure is a mean of 11 gains.
    labels, folds = np.arange(11), np.ones(11, dtype=np.int64)
    first, second = (labels >= 4)[None], np.ones((1, 11), dtype=bool)
    weights = uar_weights(labels, folds)
    found = paired_difference(first, second, weights, labels, folds)
    gains = np.array([-1.0] * 4 + [0.0] * 7)
    half_width = 1.96 * 100 * gains.std(ddof=1) / np.sqrt(11)
    assert found.value == pytest.approx(-400 / 11)
    assert found.high - found.low == pytest.approx(2 * half_width, rel=0.15)


def test_a_lone_clip_joins_the_smallest_class_of_its_fold() -> None:
    # Class 2 has one clip, class 1 two, class 0 six: only a stratum of 2 and 1 has variance.
    labels, folds = np.array([0] * 6 + [1, 1, 2]), np.ones(9, dtype=np.int64)
    found = figure_interval(labels == 2, uar_weights(labels, folds), labels, folds)
    assert found.value == pytest.approx(100 / 3)
    assert found.low < found.value < found.high
