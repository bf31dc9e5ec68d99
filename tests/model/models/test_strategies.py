"""Strategies: trained parts, reproducible predictions of their runs, and contradicting settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfer_model.config import PRESETS, STRATEGIES, ModelSettings, Settings, strategy, with_overrides
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.models.clip import Clip, load_clip
from dfer_model.models.cocoop import CoCoOp
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.heads import LinearHead
from dfer_model.models.strategies import load_base
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny

TEXTS = [["a smiling mouth."], ["tears."], ["furrowed eyebrows."]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def laid_over(name: str, preset: Settings) -> Settings:
    return with_overrides(preset, [f"{key}={value}" for key, value in strategy(name).items()])


def test_every_strategy_trains_its_parts_over_every_preset() -> None:
    trains = {
        "dfer-clip": (DferClip, {"image", "temporal", "context"}),
        "zero-shot": (DferClip, set()),
        "coop": (DferClip, {"context"}),
        "cocoop": (CoCoOp, {"context"}),
        "linear-probe": (LinearHead, {"head"}),
        "fine-tuning": (LinearHead, {"image", "temporal", "head"}),
    }
    assert trains.keys() <= STRATEGIES.keys()
    for name, (kind, parts) in trains.items():
        for preset in PRESETS.values():
            settings = laid_over(name, preset)
            settings = settings.model_copy(update={"clip": tiny.register(), "weights": "random"})
            model = load_base(settings).build(TEXTS, tiny.CLASSES)
            trained = {part for part, parameters in model.trained_parameters().items() if parameters}
            # The preset `demo` freezes the image tower, and DFER-CLIP leaves that choice to it.
            frozen = {"image"} if name == "dfer-clip" and preset.lr_image == 0 else set()
            assert (type(model), trained) == (kind, parts - frozen), name


@pytest.mark.parametrize("name", ["coop", "zero-shot"])
@pytest.mark.parametrize("length", [1, 8])
def test_coop_without_contexts_is_zero_shot_clip(name: str, length: int) -> None:
    settings = laid_over(name, tiny.settings(frames=length)).model_copy(update={"contexts": 0})
    model = load_base(settings).build(TEXTS, tiny.CLASSES).eval()
    clip: Clip = load_clip(tiny.NAME, "random")
    frames = torch.randn(2, length, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        video = torch.stack([clip.model.encode_image(of_clip).mean(0) for of_clip in frames])
        text = clip.model.encode_text(clip.tokenizer([own[0] for own in TEXTS]), normalize=True)
        expected = 100 * (video / video.norm(dim=1, keepdim=True)) @ text.T
        torch.testing.assert_close(model(frames), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("linear-probe", {}),
        ("fine-tuning", {}),
        ("cocoop", {"ensemble": "mean-similarity", "temporal_depth": 1}),
        ("coop", {"context_kind": "class-specific", "ensemble": "max", "member_contexts": "own"}),
        ("dfer-clip", {"learned_temperature": True, "lr_context": 0.1}),
    ],
)
def test_a_loaded_run_gives_its_recorded_predictions(
    clips: PackedClips, tmp_path: Path, name: str, changed: dict[str, object]
) -> None:
    spec = tiny.spec(clips, **{**strategy(name), "epochs": 1, **changed})
    run = train_run(spec, clips, tmp_path, device="cpu")
    weights = load_file(run.folder / "model.safetensors")
    drawn = load_clip(tiny.NAME, "random").model.visual.state_dict()
    same_tower = all(torch.equal(weights[f"image_tower.{key}"], value) for key, value in drawn.items())
    assert same_tower == (spec.settings.lr_image == 0)
    if name == "dfer-clip":
        assert weights["temperature.log_temperature"].exp().item() != pytest.approx(0.01, rel=1e-4)
    again = evaluate_run(Run.open(run.folder), clips, clips.test_indices(1), device="cpu")
    np.testing.assert_array_equal(again.logits, run.predictions("last").logits)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"classifier": "linear", "ensemble": "max"},
            "ensemble=max requires prompts; classifier=linear",
        ),
        ({"classifier": "linear", "member_contexts": "own"}, "member_contexts=own requires prompts"),
        ({"classifier": "r3d-18", "learned_temperature": True}, "learned_temperature=True requires prompts"),
        ({"member_contexts": "own", "context_kind": "unified"}, "contradicts context_kind=unified"),
        ({"classifier": "cocoop", "contexts": 0}, "requires contexts, but contexts=0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        load_base(ModelSettings.model_validate(changed))
    assert len(str(caught.value).splitlines()) == 2
