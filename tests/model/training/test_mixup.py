"""Mixup and cutmix: mixed clips, their targets, and the source of randomness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dfer_model.training.ema import Mixing, draw_box


def clips(count: int = 3) -> tuple[Tensor, Tensor]:
    """Clips of two frames of 8 x 6 pixels, whose number is in every pixel, and their labels."""
    frames = torch.arange(count).float().view(-1, 1, 1, 1, 1).expand(-1, 2, 3, 8, 6)
    return frames, torch.arange(count)


def test_without_mixing_the_batch_is_unchanged() -> None:
    frames, labels = clips()
    same, targets = Mixing(0, 0, classes=3, seed=1)(frames, labels, 1, 1)
    assert same is frames
    assert targets is labels


def test_mixup_is_one_share_of_pixels_and_targets() -> None:
    frames, labels = clips()
    for step in range(1, 20):
        mixed, targets = Mixing(0.8, 0, classes=4, seed=1)(frames, labels, 1, step)
        share = float(targets[1, 1])
        # Clip i is share * i + (1 - share) * (the one before it in the batch), in every pixel of every frame.
        for clip, before in ((0, 2), (1, 0), (2, 1)):
            assert torch.allclose(mixed[clip], torch.tensor(share * clip + (1 - share) * before), atol=1e-6)
            expected = torch.zeros(4)
            expected[clip], expected[before] = share, 1 - share
            assert torch.allclose(targets[clip], expected)


def test_cutmix_is_one_box_in_all_frames_and_its_area_in_the_targets() -> None:
    frames, labels = clips()
    boxes = 0
    for step in range(1, 20):
        mixed, targets = Mixing(0, 1.0, classes=3, seed=1)(frames, labels, 1, step)
        for clip, before in ((0, 2), (1, 0), (2, 1)):
            foreign = mixed[clip] == before
            assert torch.equal(foreign | (mixed[clip] == clip), torch.ones_like(foreign))
            assert torch.equal(foreign, foreign[:1, :1].expand_as(foreign))  # in all frames and colours
            rows, columns = foreign[0, 0].any(dim=1), foreign[0, 0].any(dim=0)
            assert torch.equal(foreign[0, 0], rows[:, None] & columns[None, :])
            area = float(foreign[0, 0].float().mean())
            assert float(targets[clip, before]) == pytest.approx(area)
            assert float(targets[clip, clip]) == pytest.approx(1 - area)
            boxes += 0 < area < 1
    assert boxes > 30
    assert torch.equal(frames, clips()[0])  # what was given is not written to


def test_a_box_by_hand() -> None:
    # A share of 3/4 leaves a quarter: half of each side, here 8 x 4 of 16 x 8, cut off where it sticks out.
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        top, bottom, left, right = draw_box(16, 8, 0.75, rng)
        assert 0 <= top <= bottom <= 16
        assert 0 <= left <= right <= 8
        assert (bottom - top) * (right - left) <= 32
        if top > 0 and bottom < 16 and left > 0 and right < 8:
            assert (bottom - top, right - left) == (8, 4)
            inside += 1
    assert inside
    top, bottom, left, right = draw_box(16, 8, 1.0, rng)
    assert (bottom - top) * (right - left) == 0


def test_shares_are_beta() -> None:
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)): 1/12 at a = 1.
    frames, labels = clips()
    mixing = Mixing(1.0, 0, classes=3, seed=1)
    shares = [float(mixing(frames, labels, 1, step)[1][1, 1]) for step in range(1, 2001)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / 12, abs=0.01)


def test_with_both_on_each_batch_has_one_of_them() -> None:
    frames, labels = clips()
    mixing = Mixing(1.0, 1.0, classes=3, seed=1)
    unmixed = [bool((mixing(frames, labels, 1, step)[0] % 1 == 0).all()) for step in range(1, 201)]
    assert 70 < sum(unmixed) < 130  # cutmix leaves pixels as they are


def test_randomness_comes_from_seed_epoch_and_step() -> None:
    frames, labels = clips()

    def mixed(seed: int, epoch: int, step: int) -> float:
        torch.rand(3)
        return float(Mixing(1.0, 0, classes=3, seed=seed)(frames, labels, epoch, step)[0][1, 0, 0, 0, 0])

    assert mixed(1, 1, 1) == mixed(1, 1, 1)
    assert len({mixed(seed, epoch, step) for seed in (1, 2) for epoch in (1, 2) for step in (1, 2)}) == 8
