"""The temporal model against section 3.2 written out with plain matrix products."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dfer_model.models.temporal import TemporalModel


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def by_hand(model: TemporalModel, features: Tensor, depth: int) -> Tensor:
    """One clip (T, width) -> (width,), one head at a time."""
    p = dict(model.named_parameters())
    z = torch.cat([p["class_token"][None], features]) + p["positions"]
    for layer in range(depth):
        n = f"layers.{layer}"
        x = norm(z, p[f"{n}.attention_norm.weight"], p[f"{n}.attention_norm.bias"])
        q, k, v = (x @ part.T for part in p[f"{n}.attention.qkv.weight"].chunk(3))
        heads = []
        for head in range(8):
            columns = slice(64 * head, 64 * head + 64)
            scores = q[:, columns] @ k[:, columns].T / 8.0  # sqrt(64)
            shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
            heads.append(shares @ v[:, columns])
        z = z + torch.cat(heads, -1) @ p[f"{n}.attention.out.weight"].T + p[f"{n}.attention.out.bias"]
        x = norm(z, p[f"{n}.mlp_norm.weight"], p[f"{n}.mlp_norm.bias"])
        h = x @ p[f"{n}.mlp.0.weight"].T + p[f"{n}.mlp.0.bias"]
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        z = z + h @ p[f"{n}.mlp.2.weight"].T + p[f"{n}.mlp.2.bias"]
    return z[0]


@pytest.mark.parametrize(("width", "frames", "depth"), [(512, 16, 1), (40, 3, 2)])
def test_equals_the_paper_by_hand(width: int, frames: int, depth: int) -> None:
    torch.manual_seed(0)
    model = TemporalModel(width, frames, depth).double()
    features = torch.randn(2, frames, width, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():  # norms start as 1 and 0, which would hide them
            parameter.add_(0.1 * torch.randn_like(parameter))
        expected = torch.stack([by_hand(model, clip, depth) for clip in features])
        torch.testing.assert_close(model(features), expected, rtol=1e-9, atol=1e-9)


def test_has_the_parameters_of_the_released_code() -> None:
    count = sum(parameter.numel() for parameter in TemporalModel(512, 16, 1).parameters())
    attention = 3 * 512 * 512 + 512 * 512 + 512  # no bias in q, k, v
    mlp = 512 * 1024 + 1024 + 1024 * 512 + 512
    assert count == 512 + 17 * 512 + attention + mlp + 2 * 2 * 512


def test_token_and_positions_are_standard_normal() -> None:
    torch.manual_seed(0)
    model = TemporalModel(512, 16, 1)
    drawn = torch.cat([model.class_token[None], model.positions]).detach()
    assert abs(drawn.mean().item()) < 0.05
    assert abs(drawn.std().item() - 1) < 0.05


def test_the_order_of_frames_matters() -> None:
    torch.manual_seed(0)
    model = TemporalModel(64, 4, 1)
    features = torch.randn(1, 4, 64)
    assert not torch.allclose(model(features), model(features.flip(1)), atol=1e-3)


def test_attention_of_the_last_layer_by_hand() -> None:
    torch.manual_seed(0)
    model = TemporalModel(40, 3, 2).double()
    features = torch.randn(2, 3, 40, dtype=torch.float64)
    with torch.no_grad():
        attention = model.attention(features)
        for clip, shares in zip(features, attention, strict=True):
            z = torch.cat([model.class_token[None], clip]) + model.positions
            first, last = model.layers
            x = last.attention_norm(first(z[None])[0])
            q, k, _ = (x @ part.T for part in last.attention.qkv.weight.chunk(3))
            heads = [slice(64 * head, 64 * head + 64) for head in range(8)]
            by_head = [(q[0, each] @ k[:, each].T / 8).softmax(dim=0) for each in heads]
            torch.testing.assert_close(shares, torch.stack(by_head).mean(dim=0))
            assert float(shares.sum()) == pytest.approx(1)
