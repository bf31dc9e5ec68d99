"""A learned temperature: initial value, gradient, and bounds."""

from __future__ import annotations

import math

import pytest
import torch

from dfer_model.config import ModelSettings
from dfer_model.models.clip import Clip
from dfer_model.models.dfer_clip import DferClip, LearnedTemperature

FRAMES = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("log", "expected"), [(-9.0, 0.01), (math.log(0.02), 0.02), (3.0, 1.0)])
@pytest.mark.parametrize("training", [True, False])
def test_the_temperature_is_within_the_bounds_of_clip(log: float, expected: float, training: bool) -> None:
    temperature = LearnedTemperature(0.01).train(training)
    with torch.no_grad():
        temperature.log_temperature.fill_(log)
    assert temperature().item() == pytest.approx(expected)


def test_it_can_leave_its_bound() -> None:
    temperature = LearnedTemperature(0.01)
    optimiser = torch.optim.SGD(temperature.parameters(), lr=1.0)
    for towards in (-1.0, 1.0):  # one step past the bound, one back
        optimiser.zero_grad()
        (-towards * temperature().log()).backward()
        optimiser.step()
    assert temperature().item() == pytest.approx(0.01 * math.e)


@pytest.mark.parametrize("contexts", [0, 3])
def test_a_model_begins_at_a_hundredth_and_learns_it(tiny_clip: Clip, contexts: int) -> None:
    texts = [["a smile."], ["tears."], ["a frown."]]
    models = []
    for learned in (False, True):
        torch.manual_seed(0)
        chosen = {"frames": 4, "contexts": contexts, "temporal_depth": 0, "learned_temperature": learned}
        models.append(DferClip(tiny_clip, texts, ModelSettings.model_validate(chosen)))
    fixed, learning = models
    torch.testing.assert_close(learning(FRAMES), fixed(FRAMES))
    own = learning.temperature.log_temperature
    assert any(each is own for each in learning.trained_parameters()["context"])
    assert len(learning.trained_parameters()["context"]) == 1 + bool(contexts)
    learning(FRAMES)[0, 0].backward()
    assert own.grad.item() == pytest.approx(-fixed(FRAMES)[0, 0].item(), rel=1e-3)  # d(c / e^s) / ds
    with torch.no_grad():
        own.fill_(math.log(0.05))
        torch.testing.assert_close(learning(FRAMES), fixed(FRAMES) / 5)
