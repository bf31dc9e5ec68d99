"""The seed variance of all sets, the families of pairs, and the number of seeds that would suffice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from dfer_model.comparison.multiple_tests import adjusted
from dfer_model.comparison.seed_variance import pair_variance
from dfer_model.comparison.statistics import Difference, Noise, paired_difference
from dfer_model.comparison.verdict import family_caveats, more_seeds, seeds_caveats

# Four sets, three seeds. Without the means of sets and seeds: (1, -1, 0), (-1, 1, 0), (1, 0, -1), (-1, 0, 1).
SEEDS = np.array([0.0, 5.0, -2.0])
FIGURES = np.array([[61, 59, 60], [49, 51, 50], [71, 70, 69], [39, 40, 41]]) + SEEDS


def test_the_variance_is_pooled_over_sets_by_hand() -> None:
    # The sum of squares is 8, with 3 x 2 degrees; a difference has twice the variance of a set.
    found = pair_variance(FIGURES, 0, 2)
    # The first set minus the third varies by (0, -1, 1), less than pooled.
    assert (found.variance, found.degrees, found.source) == (pytest.approx(2 * 8 / 6), 6, "pooled")


def test_the_larger_variance_of_a_pair_is_used_with_the_degrees_of_all_sets() -> None:
    # The first set minus the second varies by (2, -2, 0): 8 / 2.
    found = pair_variance(FIGURES, 0, 1)
    assert (found.variance, found.degrees) == (pytest.approx(4), 6)
    assert found.source == "own, larger than pooled"


def test_a_set_of_clearly_larger_variance_keeps_its_own_degrees_and_leaves_the_pool() -> None:
    wild = np.vstack([FIGURES, [50 + 60, 50 - 60, 50]])
    found = pair_variance(wild, 4, 0)
    assert (found.degrees, found.source) == (2, "own")
    assert found.variance == pytest.approx((wild[4] - wild[0]).var(ddof=1))
    assert pair_variance(wild, 0, 2) == pair_variance(FIGURES, 0, 2)


def test_two_sets_with_equal_figures_are_accepted() -> None:
    two = pair_variance(FIGURES[:2], 0, 1)
    assert (two.degrees, two.source, two.variance) == (2, "own", pytest.approx(4))
    same = pair_variance(np.tile(SEEDS + 0.1, (4, 1)), 0, 1)
    assert same.variance == pytest.approx(0, abs=1e-20)


def test_the_interval_has_the_variance_and_the_degrees_of_all_sets() -> None:
    # Each clip changes with the seed alone, so there is no other variance.
    first = np.stack([np.arange(400) < count for count in (160, 200, 240)])
    ones = np.ones(400, dtype=np.int64)
    variance = pair_variance(np.vstack([FIGURES, FIGURES[::-1] * 0.5]), 0, 2)
    difference = paired_difference(
        first, np.zeros_like(first), np.full(400, 0.25), ones, ones, seed_variance=variance
    )
    assert difference.noise is not None
    assert difference.noise.seeds == pytest.approx(variance.variance / 3)
    assert difference.noise.degrees == variance.degrees
    clips = difference.noise.clips
    width = t.isf(0.025, variance.degrees) * np.sqrt(difference.noise.seeds + clips)
    assert (difference.high - difference.low) / 2 == pytest.approx(width, rel=0.15)


PAIRS = [("b", "a"), ("c", "a"), ("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "y")]


def test_families_are_corrected_separately_by_hand() -> None:
    # Claims by their largest p: a 0.04, b 0.01, c 0.5. Holm: b 0.03, a 0.08, c 0.5; pairs of sets 0.02, 0.03.
    found = adjusted(PAIRS, ["x", "y"], [0.02, 0.03, 0.04, 0.001, 0.002, 0.01, 0.5, 0.3])
    assert [family for family, _ in found] == ["sets"] * 2 + ["controls"] * 6
    assert [p for _, p in found] == pytest.approx([0.04, 0.04, 0.08, 0.002, 0.006, 0.03, 0.5, 0.3])


def test_one_set_is_tested_against_each_control_at_the_nominal_level() -> None:
    found = adjusted([("a", "x"), ("a", "y")], ["x", "y"], [0.04, 0.01])
    assert found == [("controls", 0.04), ("controls", 0.01)]


def seen(value: float, clips: float, seeds: float, degrees: int | None) -> Difference:
    return Difference(
        value, value - 9, value + 9, {1: value}, 0.2, 0.2, Noise(clips, seeds, degrees, "pooled")
    )


@pytest.mark.parametrize("corrected", [1, 5])
def test_more_seeds_are_those_of_a_power_of_80_percent(corrected: int) -> None:
    # 10 points, one seed's standard deviation 12, no clip variance, 14 degrees with 3 seeds. If Holm's method
    # multiplies p by 5, the level is 1%.
    pair = replace(seen(10, 0, 144 / 3, 14), p=0.1, p_holm=0.1 * corrected)
    more = more_seeds(pair, 3)
    assert more is not None
    for number, suffices in ((3 + more, True), (2 + more, False)):
        degrees = 7 * (number - 1)
        needed = (t.isf(0.025 / corrected, degrees) + t.ppf(0.8, degrees)) * 12 / np.sqrt(number)
        assert (needed <= 10) == suffices


def test_no_seed_number_is_given_for_few_clips_or_one_seed() -> None:
    assert more_seeds(seen(5, 16, 3, 14), 3) is None
    assert more_seeds(seen(5, 1, 0, None), 1) is None


def test_a_finished_run_is_no_part_of_the_pooled_seed_variance() -> None:
    """A run has one figure for all seeds of the sets that are trained beside it."""
    sets = np.random.default_rng(3).normal(50, 2, (4, 3))
    run = np.full((1, 3), 60.0)
    together = np.concatenate([run, sets])
    assert pair_variance(together, 1, 3) == pair_variance(sets, 0, 2)
    alone = pair_variance(together, 0, 2)
    assert (alone.source, alone.degrees) == ("own", 2)
    assert alone.variance == pytest.approx(sets[1].var(ddof=1))


def test_caveats_on_more_seeds_name_the_pairs_of_a_measure() -> None:
    pairs = [
        ("trained", "b - a", 5), ("trained", "c - a", None), ("trained", "d - a", 5),
        ("few-shot", "b - a", 2),
    ]  # fmt: skip
    resolved = "more seeds would resolve differences, if they stay as seen (80% power): about"
    assert seeds_caveats(pairs) == [
        f"trained: {resolved} 5 more for b - a and d - a.",
        "trained: 100 seeds would not resolve c - a: the differences are too small for this number of test "
        "clips.",
        f"few-shot: {resolved} 2 more for b - a.",
    ]


@pytest.mark.parametrize(
    ("claims", "set_pairs", "begins"),
    [
        (0, 1, []),
        (0, 2, ["The 2 pairs of two sets", "An interval is not corrected"]),
        (1, 0, ['"Better than every control"']),
        (2, 1, ['"Better than every control"', "An interval is not corrected"]),
    ],
)
def test_caveats_on_corrected_families(claims: int, set_pairs: int, begins: list[str]) -> None:
    found = family_caveats(claims, set_pairs)
    assert len(found) == len(begins)
    assert all(each.startswith(begin) for each, begin in zip(found, begins, strict=True))
