"""UAR, WAR, recalls and confusion against cases worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dfer_model.errors import InputError
from dfer_model.metrics import measures

CLASSES = ("happiness", "sadness", "fear")


def test_by_hand() -> None:
    #   happiness: 3 of 4 right, one called fear; sadness: 1 of 2, one called happiness; fear: 0 of 1
    labels = [0, 0, 0, 0, 1, 1, 2]
    answers = [0, 0, 0, 2, 1, 0, 1]
    measured = measures(labels, answers, CLASSES)
    assert measured.recalls == {"happiness": 75.0, "sadness": 50.0, "fear": 0.0}
    assert measured.uar == pytest.approx((75 + 50 + 0) / 3)
    assert measured.war == pytest.approx(100 * 4 / 7)
    assert measured.confusion.tolist() == [[3, 0, 1], [1, 1, 0], [0, 1, 0]]
    assert measured.clips == 7


def test_a_class_without_clips_counts_for_nothing() -> None:
    # fear has no clip, though it is once predicted: the mean is over the two classes that occur
    measured = measures([0, 0, 1, 1], [0, 2, 1, 1], CLASSES)
    assert measured.recalls == {"happiness": 50.0, "sadness": 100.0, "fear": None}
    assert measured.uar == 75.0
    assert measured.war == 75.0
    assert measured.confusion[2].tolist() == [0, 0, 0]


def test_as_dict_is_json() -> None:
    measured = measures([0, 1], [0, 0], CLASSES)
    assert json.loads(json.dumps(measured.as_dict())) == {
        "uar": 50.0,
        "war": 50.0,
        "clips": 2,
        "recalls": {"happiness": 100.0, "sadness": 0.0, "fear": None},
        "confusion": [[1, 0, 0], [1, 0, 0], [0, 0, 0]],
    }


@pytest.mark.parametrize(
    ("labels", "answers", "said"),
    [
        ([], [], "no predictions"),
        ([0, 1], [0], "do not pair up"),
        ([0, 3], [0, 1], "outside the 3 classes"),
        ([0, 1], [0, -1], "outside the 3 classes"),
    ],
)
def test_refuses(labels: list[int], answers: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        measures(np.array(labels, dtype=int), np.array(answers, dtype=int), CLASSES)
