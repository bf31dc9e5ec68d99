"""The moving average of weights, by its formula, and its place in the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dfer_model.training.ema import Average


def model() -> nn.Module:
    made = nn.Linear(1, 1)
    nn.init.constant_(made.weight, 8.0)
    made.bias.requires_grad_(False)
    return made


def set_weight(made: nn.Module, value: float) -> None:
    with torch.no_grad():
        made.get_parameter("weight").fill_(value)


def test_the_average_by_hand() -> None:
    # The decay of step n is the smaller of 0.3 and (1 + n) / (10 + n): 2/11, 3/12 and then 0.3.
    made = model()
    average = Average(made, 0.3)
    expected = 8.0
    for decay, weight in ((2 / 11, 1.0), (3 / 12, 5.0), (0.3, -2.0), (0.3, 0.0)):
        set_weight(made, weight)
        average.update()
        expected = decay * expected + (1 - decay) * weight
    with average.in_place():
        assert float(made.get_parameter("weight").detach()) == pytest.approx(expected, abs=1e-6)
    assert float(made.get_parameter("weight").detach()) == 0.0


def test_weights_are_restored_after_an_error() -> None:
    made = model()
    average = Average(made, 0.5)
    set_weight(made, 1.0)

    def fail() -> None:
        with average.in_place():
            assert float(made.get_parameter("weight").detach()) == 8.0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert float(made.get_parameter("weight").detach()) == 1.0


def test_frozen_weights_and_decay_0_do_not_change() -> None:
    made = model()
    assert set(Average(made, 0.9).averages) == {"weight"}
    average = Average(made, 0.0)
    set_weight(made, 1.0)
    average.update()
    with average.in_place():
        assert float(made.get_parameter("weight").detach()) == 1.0


def test_its_state_is_restored() -> None:
    made, other = model(), model()
    average, again = Average(made, 0.999), Average(other, 0.999)
    for weight in (1.0, 2.0):
        set_weight(made, weight)
        average.update()
    again.load_state_dict(average.state_dict())
    for each, held in ((made, average), (other, again)):
        set_weight(each, 3.0)
        held.update()
    assert torch.equal(average.averages["weight"], again.averages["weight"])
