"""Figures, pairs and verdicts of a comparison of predictions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dfer_model.comparison.results import Answers, Comparison, Measured, Pair
from dfer_model.comparison.results import compare as compare_measured
from dfer_model.comparison.statistics import Difference
from dfer_model.comparison.verdict import Against, sentences

# Two folds of 40 clips, two classes of 20 clips in each.
LABELS = np.tile(np.repeat([0, 1], 20), 2)
FOLDS = np.repeat([1, 2], 40)
ALL = np.ones((2, 80), dtype=bool)
NONE = ~ALL
HALF = np.tile([True, False], (2, 40))


def answers(**correct: np.ndarray) -> Answers:
    return Answers(LABELS, FOLDS, {name.replace("_", ":"): value for name, value in correct.items()})


def compare(
    trained: Answers, zero_shot: Answers, controls: list[str], seeds: tuple[int, ...], selection: str
) -> Comparison:
    measured = [Measured("zero-shot", (zero_shot,), trained=False), Measured("trained", (trained,))]
    return compare_measured(measured, controls, (1, 2), seeds, selection)


def compared(trained: Answers, zero_shot: Answers, controls: list[str]) -> Comparison:
    return compare(trained, zero_shot, controls, seeds=(1, 2), selection="last")


def test_figures_are_means_over_folds_with_their_spread_over_seeds() -> None:
    # Seed 1 answers all of fold 1 and none of fold 2; seed 2 all of fold 1 and class 0 of fold 2.
    one_seed = FOLDS == 1
    correct = np.stack([one_seed, one_seed | (LABELS == 0)])
    both = answers(v1=correct, control_swapped=NONE)
    result = compared(both, both, ["control:swapped"])
    figure = result.sets[0].measures["trained"].uar
    assert figure.mean == pytest.approx((50 + 75) / 2)
    assert figure.std == pytest.approx(np.sqrt(2) * 12.5)
    assert result.sets[0].measures["trained"].war == figure  # equal classes: WAR is UAR
    assert (result.sets[1].is_control, result.sets[1].measures["trained"].uar.mean) == (True, 0.0)


def test_one_seed_has_no_spread() -> None:
    one = answers(v1=HALF[:1], v2=HALF[:1])
    assert compared(one, one, []).sets[0].measures["trained"].uar.std is None


def test_every_set_meets_every_control_and_the_first_set() -> None:
    both = answers(v1=ALL, v2=ALL, control_swapped=NONE, control_scrambled=NONE)
    pairs = compared(both, both, ["control:swapped", "control:scrambled"]).pairs
    assert [(pair.first, pair.second) for pair in pairs if pair.measure == "trained"] == [
        ("v2", "v1"),
        ("v1", "control:swapped"),
        ("v1", "control:scrambled"),
        ("v2", "control:swapped"),
        ("v2", "control:scrambled"),
    ]


def test_verdicts_name_an_indistinguishable_control() -> None:
    zero_shot = answers(v1=ALL[:1], control_swapped=NONE[:1], control_scrambled=HALF[:1])
    trained = answers(v1=ALL, control_swapped=ALL, control_scrambled=HALF)
    verdicts = compared(trained, zero_shot, ["control:swapped", "control:scrambled"]).verdicts
    assert verdicts[0].startswith(
        "v1, zero-shot: better than every control; the nearest is control:scrambled"
    )
    assert "+50.0" in verdicts[0]
    assert verdicts[1] == "v1, trained: indistinguishable from control:swapped."


def test_a_set_below_a_control_is_called_worse() -> None:
    trained = answers(v1=HALF, control_swapped=ALL)
    verdicts = compared(trained, trained, ["control:swapped"]).verdicts
    assert verdicts[1] == "v1, trained: worse than control:swapped."


def test_sets_without_controls_are_compared_with_the_first() -> None:
    both = answers(v1=HALF, v2=ALL)
    verdicts = compared(both, both, []).verdicts
    assert verdicts[1].startswith("v2, trained: better than v1 (+50.0, 95% interval ")


def test_one_seed_has_a_caveat_about_the_seed_variance() -> None:
    one = answers(v1=HALF[:1], v2=HALF[:1])
    (single,) = compare(one, one, [], seeds=(1,), selection="last").caveats
    assert single.startswith(
        "One seed: the trained intervals include the sampling variance of the test clips, not the "
        "seed variance"
    )
    two = answers(v1=HALF, v2=HALF)
    (few,) = compared(two, one, []).caveats
    assert few.startswith("2 seeds: ")
    five = answers(v1=np.tile(HALF[:1], (5, 1)), v2=np.tile(HALF[:1], (5, 1)))
    assert compare(five, one, [], seeds=(1, 2, 3, 4, 5), selection="last").caveats == ()


def test_uar_and_war_weigh_unequal_classes_differently() -> None:
    # Three clips of class 0, one of class 1; only the latter is answered by v1, only the former by v2.
    labels, folds = np.array([0, 0, 0, 1]), np.ones(4, dtype=np.int64)
    rare, common = np.array([[False, False, False, True]]), np.array([[True, True, True, False]])
    both = Answers(labels, folds, {"v1": rare, "v2": common})
    pair = next(each for each in compared(both, both, []).pairs if each.measure == "trained")
    assert (pair.uar.value, pair.war.value) == (pytest.approx(0.0), pytest.approx(50.0))


def test_one_training_gives_no_verdict_and_zero_shot_does() -> None:
    one = answers(v1=HALF[:1], v2=ALL[:1], control_swapped=NONE[:1], control_scrambled=HALF[:1])
    result = compare(one, one, ["control:swapped", "control:scrambled"], seeds=(1,), selection="last")
    assert [
        (pair.second, pair.verdict)
        for pair in result.pairs
        if (pair.measure, pair.first) == ("trained", "v1")
    ] == [
        ("control:swapped", "not shown"),
        ("control:scrambled", "indistinguishable"),
    ]
    v1 = [sentence for sentence in result.verdicts if sentence.startswith("v1, ")]
    assert v1 == [
        "v1, zero-shot: indistinguishable from control:scrambled.",
        "v1, trained: indistinguishable from control:scrambled; "
        "not shown to differ from control:swapped: one seed.",
    ]
    against_v1 = [
        sentence for sentence in result.verdicts if sentence.startswith("v2, ") and "v1" in sentence
    ]
    assert against_v1[0].startswith("v2, zero-shot: better than v1 (+50.0, 95% interval ")
    assert against_v1[1].startswith(
        "v2, trained: not shown to differ from v1: one seed (+50.0, 95% interval "
    )


def also(*clips: int) -> np.ndarray:
    """One seed that predicts these of 80 clips correctly."""
    made = np.zeros((1, 80), dtype=bool)
    made[0, list(clips)] = True
    return made


# Of 80 clips it predicts 9 that NEAR does not, and NEAR 2 that it does not: p is about 0.03.
AHEAD, NEAR = also(*range(0, 45, 5)), also(1, 2)


def zero_shot_pairs(compared: Comparison) -> dict[tuple[str, str], Pair]:
    return {(each.first, each.second): each for each in compared.pairs_of("zero-shot")}


def test_the_number_of_controls_does_not_correct_a_claim() -> None:
    many = answers(v1=AHEAD, control_a=NEAR, **{f"control_{name}": AHEAD for name in "bcde"})
    result = compared(many, many, [f"control:{name}" for name in "abcde"])
    pair = zero_shot_pairs(result)["v1", "control:a"]
    assert (pair.family, pair.verdict, pair.uar.p_holm) == ("controls", "better", pair.uar.p)
    assert 0.01 < pair.uar.p <= 0.05
    assert result.verdicts[0] == (
        "v1, zero-shot: indistinguishable from control:b, control:c, control:d, control:e."
    )
    assert any('"Better than every control" is one claim' in caveat for caveat in result.caveats)


def test_the_number_of_sets_corrects_the_claims() -> None:
    two = answers(v1=AHEAD, v2=AHEAD, control_a=NEAR)
    result = compared(two, two, ["control:a"])
    pairs = zero_shot_pairs(result)
    smallest = pairs["v1", "control:a"].uar.p
    for name in ("v1", "v2"):
        pair = pairs[name, "control:a"]
        assert pair.uar.low > 0
        assert (pair.verdict, pair.uar.p_holm) == ("indistinguishable", pytest.approx(2 * smallest))
    assert any("Holm's correction over the 2 sets" in caveat for caveat in result.caveats)


def test_pairs_of_sets_are_corrected_without_the_controls() -> None:
    three = answers(v1=NEAR, v2=AHEAD, v3=NEAR, control_a=NEAR, control_b=NEAR)
    result = compared(three, three, ["control:a", "control:b"])
    pair = zero_shot_pairs(result)["v2", "v1"]
    assert (pair.family, pair.uar.p_holm) == ("sets", pytest.approx(2 * pair.uar.p))
    assert any(caveat.startswith("The 2 pairs of two sets") for caveat in result.caveats)


def test_the_seed_variance_of_a_pair_comes_from_all_sets_and_is_recorded() -> None:
    rng = np.random.default_rng(5)
    trained = answers(**{f"v{number}": rng.random((3, 80)) < 0.5 for number in range(1, 9)})
    pair = next(each for each in compared(trained, trained, []).pairs if each.measure == "trained")
    assert pair.uar.noise is not None
    assert pair.uar.noise.degrees == 7 * 2
    assert pair.uar.noise.source in ("pooled", "own, larger than pooled")


def test_the_seeds_that_would_resolve_a_difference_are_printed() -> None:
    # v2 gains 10 points with one seed and 60 with the other: 35, with a standard error of 25.
    gained = np.stack([np.arange(80) % 10 < 1, np.arange(80) % 10 < 6])
    both = answers(v1=NONE, v2=gained)
    result = compared(both, answers(v1=NONE[:1], v2=gained[1:]), [])
    pair = next(each for each in result.pairs if each.measure == "trained")
    assert pair.verdict == "indistinguishable"
    assert pair.more_seeds is not None
    assert 5 < pair.more_seeds < 20
    assert (
        "trained: more seeds would resolve differences, if they stay as seen (80% power): "
        f"about {pair.more_seeds} more for v2 - v1."
    ) in result.caveats


def test_with_one_seed_no_number_of_seeds_is_printed() -> None:
    place = np.arange(80)[None]
    one = answers(v1=place < 40, v2=place < 41)
    result = compare(one, one, [], seeds=(1,), selection="last")
    assert [pair.verdict for pair in result.pairs] == ["indistinguishable"] * 2
    assert not any("seeds would" in each for each in result.caveats)


def test_seed_variance_prevents_a_verdict_from_two_seeds() -> None:
    # v1 gains 10 points with one seed and 60 with the other: 35, with a standard error of 25.
    gained = np.stack([np.arange(80) % 10 < 1, np.arange(80) % 10 < 6])
    both = answers(v1=gained, control_swapped=NONE)
    result = compared(both, answers(v1=gained[1:], control_swapped=NONE[:1]), ["control:swapped"])
    assert [pair.verdict for pair in result.pairs] == ["better", "indistinguishable"]


def test_mcnemar_is_given_with_the_war() -> None:
    one = answers(v1=ALL[:1], control_swapped=HALF[:1])
    pair = compared(one, one, ["control:swapped"]).pairs[0]
    assert (pair.mcnemar.first_only, pair.mcnemar.second_only) == (40, 0)
    assert pair.mcnemar.p == pytest.approx(2 / 2**40)


def test_several_predictions_per_clip_are_averaged_and_tested_separately() -> None:
    # With few shots v1 answers nothing, with more all; control:swapped nothing at all.
    parts = (answers(v1=NONE, control_swapped=NONE), answers(v1=ALL, control_swapped=NONE))
    result = compare_measured([Measured("few-shot", parts)], ["control:swapped"], (1, 2), (1, 2), "last")
    (pair,) = result.pairs
    assert (pair.uar.value, pair.verdict) == (pytest.approx(50), "better")
    assert (pair.mcnemar.first_only, pair.mcnemar.second_only) == (80, 0)
    figure = result.sets[0].measures["few-shot"].uar
    assert (figure.mean, figure.low, figure.high) == (pytest.approx(50), pytest.approx(50), pytest.approx(50))


def test_the_interval_of_a_figure_has_seed_and_sampling_variance() -> None:
    # Seeds answer 40 and 80 percent of each fold and class: 60, with a standard error of 20.
    gained = np.stack([np.arange(80) % 10 < 4, np.arange(80) % 10 < 8])
    one_seed = answers(v1=gained[:1], control_swapped=NONE[:1])
    both = answers(v1=gained, control_swapped=NONE)
    (narrow, wide) = (
        compare_measured([Measured("trained", (each,))], ["control:swapped"], (1, 2), (1, 2), "last")
        .sets[0]
        .measures["trained"]
        .uar
        for each in (one_seed, both)
    )
    assert narrow.low is not None
    assert narrow.high is not None
    # The sampling variance of 80 clips alone: two standard errors of a share of 0.4 are 11 points.
    assert narrow.high - narrow.low == pytest.approx(22, abs=3)
    assert wide.std == pytest.approx(np.sqrt(2) * 20)
    assert (wide.low, wide.high) == (0, 100)  # Student's t of one degree of freedom, within what can be


def test_a_difference_of_zero_has_no_minus_sign() -> None:
    nearly = Difference(-0.04, -0.04, 4.0, {1: -0.04}, 0.5, 0.5)
    (sentence,) = sentences("v2", "trained", [Against("v1", "better", nearly)], controls=[])
    assert sentence == "v2, trained: better than v1 (+0.0, 95% interval +0.0 to +4.0 UAR)."
