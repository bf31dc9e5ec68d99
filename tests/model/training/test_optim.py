"""The optimizer and its schedule: each against its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from dfer_model.errors import InputError
from dfer_model.models.clip import Clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.training.setup import make_optimizer

from .. import tiny


def test_a_step_is_sgd_with_momentum_by_hand(tiny_clip: Clip) -> None:
    # torch's SGD, written out: g = grad + decay * p;  v = momentum * v + g (v = g at first);  p -= lr * v
    settings = tiny.settings(lr_context=0.5, momentum=0.9, weight_decay=0.1)
    model = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
    optimizer, _ = make_optimizer(model, settings)
    contexts = model.prompt_learner.contexts
    frames, labels = torch.randn(3, 4, 3, 32, 32), torch.tensor([0, 1, 2])
    expected, velocity = contexts.detach().clone(), torch.zeros_like(contexts)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(frames), labels).backward()
        assert contexts.grad is not None
        velocity = 0.9 * velocity + contexts.grad + 0.1 * expected
        expected = expected - 0.5 * velocity
        optimizer.step()
        assert torch.allclose(contexts, expected, atol=1e-6)


def test_each_part_has_its_learning_rate_and_milestones(tiny_clip: Clip) -> None:
    settings = tiny.settings(lr_image=1e-5, lr_temporal=1e-2, lr_context=1e-3, milestones=(1, 3), gamma=0.1)
    optimizer, scheduler = make_optimizer(DferClip(tiny_clip, tiny.TEXTS.texts, settings), settings)
    seen = []
    for _ in range(4):
        seen.append({group["name"]: group["lr"] for group in optimizer.param_groups})
        optimizer.step()
        scheduler.step()
    for rates, factor in zip(seen, (1, 0.1, 0.1, 0.01), strict=True):
        expected = {"image": 1e-5 * factor, "temporal": 1e-2 * factor, "context": 1e-3 * factor}
        assert rates == pytest.approx(expected)


def test_a_part_without_learning_rate_is_frozen_and_one_must_be_left(tiny_clip: Clip) -> None:
    settings = tiny.settings(lr_image=0.0, lr_context=0.0)
    model = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
    optimizer, _ = make_optimizer(model, settings)
    assert [group["name"] for group in optimizer.param_groups] == ["temporal"]
    assert not model.prompt_learner.contexts.requires_grad
    nothing = tiny.settings(lr_image=0.0, contexts=0, temporal_depth=0)
    with pytest.raises(InputError, match="nothing is left to train"):
        make_optimizer(DferClip(tiny_clip, tiny.TEXTS.texts, nothing), nothing)


def test_a_step_is_adamw_by_hand(tiny_clip: Clip) -> None:
    # arXiv 1711.05101, algorithm 2: the decay is of the weights by lr, and no part of the moments.
    settings = tiny.settings(optimizer="adamw", lr_image=0.0, lr_context=0.01, weight_decay=0.1)
    model = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
    optimizer, _ = make_optimizer(model, settings)
    contexts = model.prompt_learner.contexts
    frames, labels = torch.randn(3, 4, 3, 32, 32), torch.tensor([0, 1, 2])
    expected = contexts.detach().clone()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for step in (1, 2, 3):
        optimizer.zero_grad()
        F.cross_entropy(model(frames), labels).backward()
        assert contexts.grad is not None
        first = 0.9 * first + 0.1 * contexts.grad
        second = 0.999 * second + 0.001 * contexts.grad**2
        moved = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        expected = expected - 0.01 * 0.1 * expected - 0.01 * moved
        optimizer.step()
        assert torch.allclose(contexts, expected, atol=1e-6)


def factors(clip: Clip, epochs: int, **changed: object) -> list[float]:
    """What the rate of the contexts is multiplied by in each epoch."""
    settings = tiny.settings(lr_image=0.0, lr_context=1e-3, epochs=epochs, **changed)
    optimizer, scheduler = make_optimizer(DferClip(clip, tiny.TEXTS.texts, settings), settings)
    seen = []
    for _ in range(epochs):
        seen.append({group["name"]: group["lr"] for group in optimizer.param_groups}["context"] / 1e-3)
        optimizer.step()
        scheduler.step()
    return seen


def test_warm_up_rises_in_equal_steps_to_the_peak_and_the_cosine_falls_from_it(tiny_clip: Clip) -> None:
    # Two epochs of warm-up: thirds. Then four on a cosine: cos of 0, 45, 90 and 135 degrees.
    half = math.sqrt(2) / 2
    expected = [1 / 3, 2 / 3, 1, (1 + half) / 2, 1 / 2, (1 - half) / 2]
    assert factors(tiny_clip, 6, schedule="cosine", warmup_epochs=2) == pytest.approx(expected)
    assert factors(tiny_clip, 2, schedule="cosine") == pytest.approx([1, 0.5])


def test_warm_up_before_milestones(tiny_clip: Clip) -> None:
    expected = [1 / 2, 1, 1, 0.2, 0.2, 0.04]
    changed = {"warmup_epochs": 1, "milestones": (3, 5), "gamma": 0.2}
    assert factors(tiny_clip, 6, **changed) == pytest.approx(expected)


def test_a_warm_up_that_never_ends(tiny_clip: Clip) -> None:
    with pytest.raises(InputError, match=r"warmup_epochs=5 leaves no epoch of 5 .*\n.*--set warmup_epochs"):
        factors(tiny_clip, 5, warmup_epochs=5)
