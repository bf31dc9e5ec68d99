"""A retexted model is the one that DferClip makes of the new texts, with the trained tensors put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import evaluate_run, predict_logits
from dfer_model.evaluation.trained_model import retexted
from dfer_model.models.clip import load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.runs import ClassTexts, Run
from dfer_model.training.loop import train_run

from .. import tiny

CPU = torch.device("cpu")
NEW = ClassTexts(
    "new",
    "ef" * 32,
    ("anger", "fear", "awe", "calm"),
    (("a frown.",), ("parted lips.", "wide eyes."), ("a gape.",), ("rest.",)),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def run_of(clips: PackedClips, runs: Path, **changed: Any) -> Run:
    quick = {"epochs": 1, "frames": 2, "lr_image": 1e-4, "context_kind": "unified"}
    return train_run(tiny.spec(clips, **(quick | changed)), clips, runs, device="cpu")


def test_it_answers_as_a_model_built_of_the_new_texts(clips: PackedClips, tmp_path: Path) -> None:
    run = run_of(clips, tmp_path)
    model = retexted(run, NEW, CPU)
    built = DferClip(load_clip(tiny.NAME, "random"), NEW.texts, run.settings)
    tensors = load_file(run.folder / "model.safetensors")
    with torch.no_grad():
        built.prompt_learner.contexts.copy_(tensors["prompt_learner.contexts"])
        for part in ("image_tower", "temporal"):
            own = {
                name.removeprefix(f"{part}."): value
                for name, value in tensors.items()
                if name.startswith(f"{part}.")
            }
            getattr(built, part).load_state_dict(own)
    built.eval()
    assert not torch.equal(built.image_tower.proj, load_clip(tiny.NAME, "random").model.visual.proj)
    frames = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(model(frames), built(model.scale(frames)), atol=1e-4)
    assert model(frames).shape == (2, 4)


def test_its_own_texts_give_the_runs_own_answers(clips: PackedClips, tmp_path: Path) -> None:
    run = run_of(clips, tmp_path)
    indices = np.arange(4)
    logits = predict_logits(retexted(run, run.texts, CPU), clips, indices, run.settings, CPU)
    assert logits == pytest.approx(evaluate_run(run, clips, indices, device="cpu").logits, abs=1e-3)


def test_what_cannot_be_given_other_texts_is_said(clips: PackedClips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class-specific contexts cannot be used"):
        retexted(run_of(clips, tmp_path, context_kind="class-specific"), NEW, CPU)
    run = run_of(clips, tmp_path)
    (run.folder / "config.yaml").write_text(
        yaml.safe_dump({**run.config, "clip": {**run.config["clip"], "sha256": "00"}})
    )
    with pytest.raises(InputError, match=r"are not those that .* was initialised from"):
        retexted(Run.open(run.folder), NEW, CPU)
