"""Towers whose blocks are compiled by torch, against the same blocks as they are."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from dfer_model.errors import InputError
from dfer_model.models.bf16 import ImageTower
from dfer_model.models.clip import Clip
from dfer_model.training.loop import train_run
from dfer_model.training.memory_need import need_of
from dfer_model.training.setup import Training

from .. import tiny

IMAGES = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def compilations() -> Any:
    """torch's counters of compiled graphs, from zero."""
    torch.compiler.reset()
    counters.clear()
    return counters


def test_a_compiled_tower_has_no_graph_break_and_equal_results(tiny_clip: Clip, compilations: Any) -> None:
    found: dict[str, list[Tensor]] = {}
    for name, backend in (("plain", "off"), ("compiled", "aot_eager"), ("checkpointed", "aot_eager")):
        tower: Any = deepcopy(tiny_clip.model.visual)
        tower.transformer.grad_checkpointing = name == "checkpointed"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = ImageTower(tower, backend=backend)(IMAGES).float()
        features.square().sum().backward()
        gradients = [value.grad for value in tower.parameters() if value.grad is not None]
        found[name] = [features.detach(), *gradients]
    for name in ("compiled", "checkpointed"):
        pairs = zip(found[name], found["plain"], strict=True)
        assert all(float((one - other).norm()) <= 0.01 * float(other.norm()) for one, other in pairs)
    assert compilations["stats"]["unique_graphs"] == 2  # a block, and the last one
    assert not compilations["graph_break"]


def test_evaluation_is_not_compiled(tiny_clip: Clip, compilations: Any) -> None:
    towers = [
        ImageTower(tiny_clip.model.visual, fast_fp32=True, backend=each) for each in ("off", "aot_eager")
    ]
    with torch.inference_mode():
        assert torch.equal(*(tower(IMAGES) for tower in towers))
    assert not compilations["stats"]


def test_a_compiled_training_equals_one_that_is_not(tmp_path: Path, compilations: Any) -> None:
    clips = tiny.pack(tmp_path / "packed")
    runs = []
    for changed in ({"fast_fp32": True}, {"compile": "aot_eager"}):
        spec = tiny.spec(clips, **changed, clip=tiny.register(layers=1), lr_image=1e-3)
        runs.append(train_run(spec, clips, tmp_path / f"{len(runs)}", device="cpu"))
    plain, compiled = runs
    assert plain.id == compiled.id
    losses = [
        [json.loads(line)["loss"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        for run in runs
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert np.allclose(*(run.predictions("last").logits for run in runs), atol=1e-2)
    assert compilations["stats"]["unique_graphs"] == 2  # of the image tower, and of the text tower
    assert not compilations["graph_break"]
    training = Training(spec, clips, tmp_path / "none", torch.device("cpu"))
    need = need_of(training)
    assert need is not None
    assert need.per_clip > 0


def test_a_backend_that_cannot_compile_is_an_error(tiny_clip: Clip) -> None:
    tower = ImageTower(tiny_clip.model.visual, backend="no such backend")
    with pytest.raises(
        InputError, match=r"^compile=no such backend: torch cannot .*\nGive --set compile=off"
    ):
        tower(IMAGES)
