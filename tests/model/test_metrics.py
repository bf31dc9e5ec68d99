"""UAR, WAR, macro-F1, top-2 accuracy, recalls, confusion and calibration against cases worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from dfer_model.errors import InputError
from dfer_model.metrics import calibration_error, logit_measures, measures

CLASSES = ("happiness", "sadness", "fear")


def test_by_hand() -> None:
    #   happiness: 3 of 4 right, one called fear; sadness: 1 of 2, one called happiness; fear: 0 of 1
    labels = [0, 0, 0, 0, 1, 1, 2]
    answers = [0, 0, 0, 2, 1, 0, 1]
    measured = measures(labels, answers, CLASSES)
    assert measured.recalls == {"happiness": 75.0, "sadness": 50.0, "fear": 0.0}
    assert measured.uar == pytest.approx((75 + 50 + 0) / 3)
    assert measured.war == pytest.approx(100 * 4 / 7)
    # F1 is 2 hits / (clips + predictions): 2 * 3 / (4 + 4), 2 * 1 / (2 + 2), 0
    assert measured.macro_f1 == pytest.approx(100 * (0.75 + 0.5 + 0) / 3)
    assert measured.confusion.tolist() == [[3, 0, 1], [1, 1, 0], [0, 1, 0]]
    assert measured.clips == 7


def test_a_class_without_clips_counts_for_nothing() -> None:
    # fear has no clip, though it is once predicted: the mean is over the two classes that occur
    measured = measures([0, 0, 1, 1], [0, 2, 1, 1], CLASSES)
    assert measured.recalls == {"happiness": 50.0, "sadness": 100.0, "fear": None}
    assert measured.uar == 75.0
    assert measured.war == 75.0
    # happiness: 2 * 1 / (2 + 1), sadness: 2 * 2 / (2 + 2); fear, predicted once, is in no mean
    assert measured.macro_f1 == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert measured.confusion[2].tolist() == [0, 0, 0]


def test_as_dict_is_json() -> None:
    measured = measures([0, 1], [0, 0], CLASSES)
    assert json.loads(json.dumps(measured.as_dict())) == {
        "uar": 50.0,
        "war": 50.0,
        "macro_f1": pytest.approx(100 / 3),
        "calibration_error": None,
        "top2_accuracy": None,
        "clips": 2,
        "recalls": {"happiness": 100.0, "sadness": 0.0, "fear": None},
        "confusion": [[1, 0, 0], [1, 0, 0], [0, 0, 0]],
    }


@pytest.mark.parametrize(
    ("labels", "answers", "message"),
    [
        ([], [], "no predictions"),
        ([0, 1], [0], "do not pair up"),
        ([0, 3], [0, 1], "outside the 3 classes"),
        ([0, 1], [0, -1], "outside the 3 classes"),
    ],
)
def test_refuses(labels: list[int], answers: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measures(np.array(labels, dtype=int), np.array(answers, dtype=int), CLASSES)


def logits_of(*probabilities: tuple[float, ...]) -> np.ndarray:
    """Logits whose softmax is these, up to a shift of each row that changes nothing."""
    return np.log(np.array(probabilities)) + np.arange(len(probabilities))[:, None]


def test_calibration_by_hand() -> None:
    # Of four clips said with 0.62, 0.66 and 0.9, 0.9: the first two share the bin (0.6, 0.667] and one is
    # right, the others share (0.867, 0.933] and both are.
    logits = logits_of((0.62, 0.38), (0.34, 0.66), (0.9, 0.1), (0.1, 0.9))
    labels = [0, 0, 0, 1]
    expected = (2 * abs(0.5 - 0.64) + 2 * abs(1 - 0.9)) / 4
    assert calibration_error(labels, logits) == pytest.approx(100 * expected)


def test_gaps_cancel_within_a_bin_and_not_between_bins() -> None:
    # Said with 0.75 and 0.79, one right: in one bin, (0.733, 0.8], the gap is |0.5 - 0.77|.
    same = logits_of((0.75, 0.25), (0.79, 0.21))
    assert calibration_error([0, 1], same) == pytest.approx(100 * 0.27)
    # Said with 0.79 (right) and 0.81 (wrong), a bin each: (0.21 + 0.81) / 2.
    apart = logits_of((0.79, 0.21), (0.81, 0.19))
    assert calibration_error([0, 1], apart) == pytest.approx(100 * 0.51)


def test_a_bin_is_closed_above() -> None:
    # Said with 0.2, the upper edge of the third bin of 15, and right; said with 0.25, in the fourth, wrong.
    logits = logits_of((0.2, 0.2, 0.2, 0.2, 0.2), (0.25, 0.2, 0.2, 0.2, 0.15))
    assert calibration_error([0, 1], logits) == pytest.approx(100 * (0.8 + 0.25) / 2)


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 100.0)])
def test_full_confidence_is_calibrated_only_if_correct(label: int, expected: float) -> None:
    assert calibration_error([label], [[1000.0, 0.0]]) == pytest.approx(expected)


def test_logits_are_measured_as_their_answers_are_and_for_calibration() -> None:
    logits = logits_of((0.5, 0.3, 0.2), (0.1, 0.2, 0.7), (0.2, 0.6, 0.2), (0.1, 0.8, 0.1))
    measured, answered = (
        logit_measures([0, 0, 1, 1], logits, CLASSES),
        measures([0, 0, 1, 1], [0, 2, 1, 1], CLASSES),
    )
    # each in a bin of its own: (0.5 + 0.7 + 0.4 + 0.2) / 4
    assert measured.calibration_error == pytest.approx(45.0)
    assert measured.top2_accuracy == 75.0  # the third clip's class, sadness, is first; the second's is last
    only_of_logits = {"calibration_error": None, "top2_accuracy": None}
    assert {**measured.as_dict(), **only_of_logits} == answered.as_dict()


def test_top2_accuracy_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 7)), rng.integers(7, size=200)
    found = logit_measures(labels, logits, [f"class {n}" for n in range(7)]).top2_accuracy
    assert found == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=2, labels=range(7)))


def test_of_equal_logits_the_first_are_the_top_two() -> None:
    # Every clip is predicted as the first class; the second class is the other of the two.
    measured = logit_measures([0, 1, 2, 2], np.zeros((4, 3)), CLASSES)
    assert (measured.war, measured.top2_accuracy) == (25.0, 50.0)


def test_two_classes_have_no_top2_accuracy() -> None:
    assert logit_measures([0, 1], [[2.0, 1.0], [2.0, 1.0]], CLASSES[:2]).top2_accuracy is None


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([[0.0, 1.0]], "not those of 3 classes"),
        ([0.0, 1.0, 2.0], "not those of 3 classes"),
        ([[0.0, np.nan, 1.0]], "not finite"),
        ([[0.0, np.inf, 1.0]], "not finite"),
    ],
)
def test_refuses_logits(logits: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        logit_measures([1], np.array(logits), CLASSES)
