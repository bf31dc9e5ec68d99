"""Small CLIPs of open_clip with random weights: a ViT as in DFER-CLIP, and a ResNet as in the demo."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from dfer_model.models.clip import Clip, clip_from_config

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}
VIT = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}


@pytest.fixture
def vit_config() -> dict[str, Any]:
    return deepcopy({"embed_dim": 48, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True})


@pytest.fixture
def resnet_config() -> dict[str, Any]:
    return deepcopy({"embed_dim": 48, "vision_cfg": RESNET, "text_cfg": TEXT, "quick_gelu": True})


@pytest.fixture
def tiny_clip(vit_config: dict[str, Any]) -> Clip:
    return clip_from_config("tiny", "random", vit_config, seed=1)


@pytest.fixture
def tiny_resnet_clip(resnet_config: dict[str, Any]) -> Clip:
    return clip_from_config("tiny-resnet", "random", resnet_config, seed=1)


@pytest.fixture
def bf16_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bfloat16 instructions; torch computes bfloat16 without them too, only slowly."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def avx2_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16 instructions."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
