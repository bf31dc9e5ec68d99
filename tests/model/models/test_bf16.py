"""Towers in bfloat16 and, by the same blocks, in float32, against open_clip's computation."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfer_model.models.bf16 import Form, ImageTower, block, block_weights
from dfer_model.models.clip import Clip, clip_from_config
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.lora import add_lora
from dfer_model.models.prompt_learner import TextTower
from dfer_model.training.setup import make_optimizer

from .. import tiny

IMAGES = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
BF16 = {"device_type": "cpu", "dtype": torch.bfloat16}


def wide_clip(config: dict[str, Any], *, quick: bool = True) -> Clip:
    """A CLIP whose biases and norms are no longer those of a new model, all 0 and 1."""
    clip = clip_from_config("tiny", "random", config | {"quick_gelu": quick}, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for value in clip.model.parameters():
            value += 0.1 * torch.randn_like(value)
    return clip


def relative(value: Tensor, exact: Tensor) -> float:
    return float((value.float() - exact).norm() / exact.norm())


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("read", [None, torch.tensor([3, 0]), 2])
def test_a_block_in_float64_equals_open_clip(
    vit_config: dict[str, Any], quick: bool, read: Tensor | int | None
) -> None:
    clip = wide_clip(vit_config, quick=quick)
    reference = deepcopy(clip.model.visual.transformer.resblocks[0]).double()
    mask = torch.full((6, 6), -torch.inf, dtype=torch.float64).triu(1)
    x = torch.randn(2, 6, 64, dtype=torch.float64)
    with torch.no_grad():
        weights = block_weights(reference, torch.float64)
        # The attention inside is float32 on a CPU, from which the tolerance comes.
        got = block(x, weights, Form(4, 1e-5, quick), mask, read)
        exact = reference(x, attn_mask=mask)
    if read is not None:
        exact = exact[torch.arange(2), read][:, None]
    torch.testing.assert_close(got, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quick", [True, False])
def test_a_block_rounds_weights_and_gradients_as_plain_operations_do(
    vit_config: dict[str, Any], quick: bool
) -> None:
    """Bit for bit: weights rounded one by one, q, k and v by chunk, the token read by its index."""
    parts = deepcopy(wide_clip(vit_config, quick=quick).model.visual.transformer.resblocks[0])
    factor = 1.702 if quick else 1.0
    x = torch.randn(3, 6, 64).bfloat16()
    rows, read = torch.arange(3), torch.full((3,), 4)

    def pair(module: Any, weight: float = 1.0, bias: float = 1.0) -> tuple[Tensor, Tensor]:
        return (module.weight * weight).bfloat16(), (module.bias * bias).bfloat16()

    def heads(joined: Tensor, parts: int) -> list[Tensor]:
        return [each.unflatten(-1, (4, 16)).transpose(1, 2) for each in joined.chunk(parts, dim=-1)]

    def plain(*, whole: bool) -> Tensor:
        h = F.layer_norm(x, (64,), *pair(parts.ln_1), 1e-5)
        matrix, bias = parts.attn.in_proj_weight.bfloat16(), parts.attn.in_proj_bias.bfloat16()
        if whole:
            (q, k, v), now = heads(F.linear(h, matrix, bias), 3), x
        else:
            (q,) = heads(F.linear(h[rows, read], matrix[:64], bias[:64])[:, None], 1)
            (k, v), now = heads(F.linear(h, matrix[64:], bias[64:]), 2), x[rows, read][:, None]
        attended = F.scaled_dot_product_attention(q.float(), k.float(), v.float()).bfloat16()
        now = now + F.linear(attended.transpose(1, 2).flatten(2), *pair(parts.attn.out_proj))
        up = F.linear(
            F.layer_norm(now, (64,), *pair(parts.ln_2, factor, factor), 1e-5),
            *pair(parts.mlp[0], bias=factor),
        )
        down = F.linear((F.silu if quick else F.gelu)(up), *pair(parts.mlp[2], bias=factor))
        return torch.add(now, down, alpha=1 / factor)

    for whole, positions in ((True, [None]), (False, [4, read])):
        expected = plain(whole=whole)
        gradients = torch.autograd.grad(expected.float().square().sum(), list(parts.parameters()))
        for position in positions:
            got = block(x, block_weights(parts), Form(4, 1e-5, quick), None, position)  # type: ignore[arg-type]
            assert torch.equal(got, expected)
            own = torch.autograd.grad(got.float().square().sum(), list(parts.parameters()))
            assert all(map(torch.equal, own, gradients))
            assert {each.dtype for each in own} == {torch.float32}


def test_frozen_weights_of_a_block_get_no_gradient(vit_config: dict[str, Any]) -> None:
    parts = deepcopy(wide_clip(vit_config).model.visual.transformer.resblocks[0])
    parts.requires_grad_(False)
    parts.mlp.c_fc.weight.requires_grad_(True)
    x = torch.randn(2, 6, 64).bfloat16()
    weights = block_weights(parts)
    assert [each.requires_grad for pair in weights for each in pair] == [*[False] * 8, True, *[False] * 3]
    block(x, weights, Form(4, 1e-5, quick=True), None, None).float().square().sum().backward()
    assert [name for name, value in parts.named_parameters() if value.grad is not None] == ["mlp.c_fc.weight"]


@pytest.mark.parametrize("quick", [True, False])
def test_an_image_tower_is_as_near_as_under_autocast(vit_config: dict[str, Any], quick: bool) -> None:
    tower: Any = wide_clip(vit_config, quick=quick).model.visual
    with torch.no_grad():
        exact = tower(IMAGES)
        with torch.autocast(**BF16):
            plain = tower(IMAGES)
            features = ImageTower(tower)(IMAGES)
        assert torch.equal(ImageTower(tower)(IMAGES), exact)  # not asked for bfloat16
    assert features.dtype == torch.bfloat16
    assert 0 < relative(features, exact) < 1.5 * relative(plain, exact) < 0.05


def test_gradients_are_as_near_as_under_autocast(vit_config: dict[str, Any]) -> None:
    towers: list[Any] = [deepcopy(wide_clip(vit_config).model.visual) for _ in range(4)]
    towers[3].transformer.grad_checkpointing = True
    exact, plain, own, again = towers
    exact(IMAGES).square().sum().backward()
    with torch.autocast(**BF16):
        plain(IMAGES).float().square().sum().backward()
    for tower in (own, again):
        with torch.autocast(**BF16):
            features = ImageTower(tower)(IMAGES)
        features.float().square().sum().backward()
    for name, value in exact.named_parameters():
        fast, slow = own.get_parameter(name).grad, plain.get_parameter(name).grad
        assert fast.dtype == torch.float32
        assert relative(fast, value.grad) < 1.5 * relative(slow, value.grad) + 0.01, name
        assert torch.equal(fast, again.get_parameter(name).grad), name


@pytest.mark.parametrize("quick", [True, False])
def test_an_image_tower_by_blocks_in_float32_equals_open_clip(
    vit_config: dict[str, Any], quick: bool
) -> None:
    towers: list[Any] = [deepcopy(wide_clip(vit_config, quick=quick).model.visual) for _ in range(3)]
    towers[2].transformer.grad_checkpointing = True
    made = [towers[0](IMAGES), *(ImageTower(tower, fast_fp32=True)(IMAGES) for tower in towers[1:])]
    for features in made:
        assert features.dtype == torch.float32
        features.square().sum().backward()
    torch.testing.assert_close(made[1], made[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(made[1], made[2])
    for name, value in towers[0].named_parameters():
        own, again = (tower.get_parameter(name).grad for tower in towers[1:])
        assert relative(own, value.grad) < 1e-5, name
        assert torch.equal(own, again), name


def test_a_text_tower_by_blocks_in_float32_equals_open_clip(vit_config: dict[str, Any]) -> None:
    clip = wide_clip(vit_config)
    prompts = torch.randn(3, 9, 64, requires_grad=True)
    found = []
    for fast in (False, True):
        features = TextTower(clip, fast_fp32=fast)(prompts, torch.tensor([8, 4, 6]))
        found.append((features.detach(), *torch.autograd.grad(features.square().sum(), prompts)))
    assert [relative(own, exact) < 1e-5 for exact, own in zip(*found, strict=True)] == [True, True]
    assert found[1][1][1, 5:].abs().max() == 0


def test_fewer_products_in_float32_by_blocks(tiny_clip: Clip) -> None:
    """Only the last block computes less: of its 17 tokens, one in the query, the output and the MLP."""
    counts = []
    for fast in (False, True):
        model = DferClip(tiny_clip, tiny.TEXTS.texts, tiny.settings(fast_fp32=fast))
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            model.frame_features(torch.randn(1, 1, 3, 32, 32))
        counts.append(counted.get_total_flops())
    saved_tokens, width = 16, 64
    products = 2 * saved_tokens * width * (width + width + 2 * 4 * width)  # query, output, MLP
    attention = 2 * 2 * saved_tokens * 17 * width  # scores and weighted sum
    assert counts[0] - counts[1] == products + attention


def test_a_text_tower_is_as_near_as_under_autocast(vit_config: dict[str, Any]) -> None:
    tower = TextTower(wide_clip(vit_config))
    prompts = torch.randn(3, 9, 64, requires_grad=True)
    ends = torch.tensor([8, 4, 6])

    def gradients(*, fast: bool) -> tuple[Tensor, Tensor]:
        if not fast:
            tower.blocks.fit = lambda: False  # type: ignore[method-assign]
        features = tower(prompts, ends).float()
        (gradient,) = torch.autograd.grad(features.square().sum(), prompts)
        return features.detach(), gradient

    with torch.autocast(**BF16):
        own = gradients(fast=True)
        plain = gradients(fast=False)
    exact = gradients(fast=False)
    for fast, slow, true in zip(own, plain, exact, strict=True):
        assert 0 < relative(fast, true) < 1.5 * relative(slow, true) < 0.1
    # What stands after the end that is read has no part in it.
    assert own[1][1, 5:].abs().max() == 0
    assert own[1][1, :5].abs().min() > 0


def test_copies_follow_the_weights(tiny_clip: Clip) -> None:
    """After a step, after a load and after a change in place the answer is that of a model made anew."""
    settings = tiny.settings(precision="bf16", lr_image=0.1, ema=0.5)
    model = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
    optimizer, _ = make_optimizer(model, settings)
    frames = torch.randn(2, 4, 3, 32, 32)

    def answer(classifier: DferClip) -> Tensor:
        with torch.inference_mode(), torch.autocast(**BF16):
            logits: Tensor = classifier(frames)
        return logits

    def step() -> None:
        with torch.autocast(**BF16):
            loss = model(frames).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def double() -> None:
        for value in model.image_tower.parameters():
            value.detach().mul_(1.5)

    first = deepcopy(model.state_dict())
    seen = [answer(model)]
    for change in (step, step, double, lambda: model.load_state_dict(first)):
        change()
        seen.append(answer(model))
        anew = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
        anew.load_state_dict(model.state_dict())
        assert torch.equal(seen[-1], answer(anew))
    assert torch.equal(seen[0], seen[-1])
    assert all((one - other).abs().max() > 0 for one, other in pairwise(seen))


def test_frozen_weights_are_rounded_once(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, tiny.TEXTS.texts, tiny.settings(lr_image=0.0))
    weights = model.image_features.blocks.weights()
    assert model.image_features.blocks.weights() is weights
    assert not weights[0].qkv[0].requires_grad
    with torch.inference_mode():
        text = model.text_tower.blocks.weights()
    assert not text[0].qkv[0].is_inference()  # a later step's graph goes through them


def test_other_towers_are_left_to_autocast(tiny_clip: Clip, tiny_resnet_clip: Clip) -> None:
    def fit(tower: Any, **changed: Any) -> bool:
        copied = deepcopy(tower)
        for name, value in changed.items():
            setattr(copied, name, value)
        return ImageTower(copied).fit()

    tower: Any = tiny_clip.model.visual
    assert fit(tower)
    assert not fit(tower, pool_type="avg")
    assert not fit(tower, output_tokens=True)
    assert not fit(tower, patch_dropout=nn.Dropout())
    assert not fit(tiny_resnet_clip.model.visual)
    adapted = deepcopy(tower)
    add_lora(adapted, 2)
    assert not fit(adapted)
    frames = torch.randn(1, 2, 3, 32, 32)
    model = DferClip(tiny_resnet_clip, tiny.TEXTS.texts, tiny.settings(frames=2)).eval()
    with torch.no_grad(), torch.autocast(**BF16):
        assert torch.equal(model.frame_features(frames)[0], model.image_tower(frames[0]))
