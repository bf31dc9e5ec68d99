"""A CLIP of two layers under a name that open_clip knows, and one whose weights the tests save."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
from torch import nn

from dfer_model.models.clip import clip_from_config

NAME = "tiny-quickgelu"


@pytest.fixture
def named(vit_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny ViT under a name that open_clip knows, with QuickGELU and, as `tiny`, with GELU."""
    for name, quick in ((NAME, True), ("tiny", False)):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, {**vit_config, "quick_gelu": quick})
    return NAME


@pytest.fixture
def saved(vit_config: dict[str, Any]) -> nn.Module:
    """The model whose weights the files hold, all exact in float16, in which OpenAI's files are."""
    model = clip_from_config("saved", "random", vit_config, seed=9).model
    return model.half().float()
