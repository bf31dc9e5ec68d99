"""LoRA and gradient checkpointing in the image tower, against the same tower without them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.models.clip import Clip, load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.lora import adapt
from dfer_model.models.strategies import load_base
from dfer_model.training.loop import train_run
from dfer_model.training.setup import make_optimizer

from .. import tiny

FRAMES = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def model(clip: Clip, settings: Settings) -> DferClip:
    torch.manual_seed(1)
    return DferClip(clip, tiny.TEXTS.texts, settings)


def test_lora_is_initially_the_tower_and_then_w_plus_ba(tiny_clip: Clip) -> None:
    settings = tiny.settings(lora_rank=3)
    plain, adapted = model(tiny_clip, settings), model(tiny_clip, settings)
    adapt(adapted, settings)
    with torch.no_grad():
        expected = plain.frame_features(FRAMES)
        torch.testing.assert_close(adapted.frame_features(FRAMES), expected, atol=1e-5, rtol=1e-5)
        # The same change in the plain tower: W + B A in each of the six linear layers of a block.
        factors = {name: value for name, value in adapted.image_tower.named_parameters() if "lora_" in name}
        assert len(factors) == 2 * 6 * 2
        for value in factors.values():
            value.normal_(0, 0.1)
        for number, block in enumerate(plain.image_tower.get_submodule("transformer.resblocks")):

            def change(layer: str, number: int = number) -> torch.Tensor:
                start = f"transformer.resblocks.{number}.{layer}."
                return factors[f"{start}lora_B.default.weight"] @ factors[f"{start}lora_A.default.weight"]

            block.attn.in_proj_weight += torch.cat([change(f"attn.{part}_proj") for part in "qkv"])
            block.attn.out_proj.weight += change("attn.out_proj")
            block.mlp.c_fc.weight += change("mlp.c_fc")
            block.mlp.c_proj.weight += change("mlp.c_proj")
        changed = plain.frame_features(FRAMES)
        torch.testing.assert_close(adapted.frame_features(FRAMES), changed, atol=1e-4, rtol=1e-4)
    assert (changed - expected).abs().max() > 1e-2


def test_only_lora_is_trained_of_the_tower_at_lr_image(tiny_clip: Clip) -> None:
    settings = tiny.settings(lora_rank=2, lr_image=1e-3)
    adapted = model(tiny_clip, settings)
    adapt(adapted, settings)
    optimizer, _ = make_optimizer(adapted, settings)
    (group,) = (group for group in optimizer.param_groups if group["name"] == "image")
    assert group["lr"] == 1e-3
    # Rank 2 at widths 64 and, in the MLP, 256: 4 x 2 x (64 + 64) + 2 x 2 x (64 + 256), in two blocks.
    assert sum(parameter.numel() for parameter in group["params"]) == 2 * (1024 + 1280)


def test_a_run_with_lora(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, lora_rank=2, lr_image=0.1)
    run = train_run(spec, clips, tmp_path, device="cpu")
    stored = load_file(run.folder / "model.safetensors")
    tower = load_clip(tiny.NAME, "random").model.visual.state_dict()
    block = "transformer.resblocks.0"
    weights = [stored[f"image_tower.{block}.attn.{part}_proj.base_layer.weight"] for part in "qkv"]
    assert torch.equal(torch.cat(weights), tower[f"{block}.attn.in_proj_weight"])
    assert torch.equal(stored["image_tower.conv1.weight"], tower["conv1.weight"])
    assert stored[f"image_tower.{block}.mlp.c_fc.lora_B.default.weight"].abs().max() > 0
    again = evaluate_run(run, clips, clips.test_indices(1), device="cpu")
    np.testing.assert_array_equal(again.logits, run.predictions("last").logits)


def test_gradients_are_the_same_with_gradient_checkpointing(clips: PackedClips) -> None:
    gradients: list[dict[str, Any]] = []
    for on in (False, True):
        settings = tiny.settings(gradient_checkpointing=on)
        torch.manual_seed(1)
        made = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
        assert made.get_submodule("image_tower.transformer").grad_checkpointing is on
        made(FRAMES).square().mean().backward()
        gradients.append({name: value.grad for name, value in made.named_parameters()})
    for name, value in gradients[0].items():
        assert value is None or torch.equal(value, gradients[1][name]), name
    assert gradients[0]["image_tower.conv1.weight"].abs().max() > 0


@pytest.mark.parametrize("changed", [{"lora_rank": 4}, {"gradient_checkpointing": True}])
def test_a_resnet_is_refused(tiny_resnet_clip: Clip, changed: dict[str, Any]) -> None:
    (key,) = changed
    settings = tiny.settings(**changed)
    with pytest.raises(InputError, match=rf"{key}=\w+ needs open_clip's vision transformer.*\n.*leave {key}"):
        adapt(model(tiny_resnet_clip, settings), settings)


def test_lora_in_a_frozen_tower_and_without_peft(tiny_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = tiny.settings(lora_rank=4, lr_image=0.0)
    with pytest.raises(InputError, match=r"lora_rank=4 contradicts lr_image=0.*\n.*--set lr_image"):
        adapt(model(tiny_clip, frozen), frozen)
    monkeypatch.setitem(sys.modules, "peft", None)
    settings = tiny.settings(lora_rank=4)
    with pytest.raises(InputError, match=r"lora_rank=4 needs peft.*\npip install 'dfer-prompts\[lora\]'"):
        adapt(model(tiny_clip, settings), settings)
