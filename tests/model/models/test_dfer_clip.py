"""DFER-CLIP against open_clip on the same random weights, and the parts that a training step changes."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dfer_model.config import ModelSettings, Settings
from dfer_model.errors import InputError
from dfer_model.models.clip import Clip, clip_from_config, clip_identity
from dfer_model.models.dfer_clip import DferClip

TEXTS = [["a smiling mouth, and raised cheeks."], ["tears."], ["furrowed eyebrows."]]
NAMES = ["happiness", "sadness", "anger"]


def clips_of_frames(size: int = 32, clips: int = 2, frames: int = 4) -> torch.Tensor:
    return torch.randn(clips, frames, 3, size, size, generator=torch.Generator().manual_seed(3))


def settings(**changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"frames": 4, "contexts": 3, **changes})


def step(model: DferClip, frames: torch.Tensor) -> None:
    groups = [{"params": p, "lr": 0.1} for p in model.trained_parameters().values() if p]
    optimiser = torch.optim.SGD(groups, lr=0.1, weight_decay=0.1)
    F.cross_entropy(model(frames), torch.tensor([0, 1])).backward()
    optimiser.step()


@pytest.mark.parametrize("tower", ["tiny_clip", "tiny_resnet_clip"])
def test_frame_features_are_encode_image(tower: str, request: pytest.FixtureRequest) -> None:
    clip: Clip = request.getfixturevalue(tower)
    frames = clips_of_frames()
    with torch.no_grad():
        features = DferClip(clip, TEXTS, settings()).frame_features(frames)
        expected = torch.stack([clip.model.encode_image(of_clip) for of_clip in frames])
    assert features.shape == (2, 4, 48)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_without_contexts_and_temporal_model_it_is_zero_shot_clip(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, TEXTS, settings(contexts=0, temporal_depth=0))
    frames = clips_of_frames()
    with torch.no_grad():
        mean = torch.stack([tiny_clip.model.encode_image(of_clip).mean(0) for of_clip in frames])
        text = tiny_clip.model.encode_text(tiny_clip.tokenizer([t[0] for t in TEXTS]), normalize=True)
        expected = 100 * (mean / mean.norm(dim=1, keepdim=True)) @ text.T
        torch.testing.assert_close(model(frames), expected, rtol=1e-4, atol=1e-3)
    assert model.trained_parameters()["temporal"] == []
    assert model.trained_parameters()["context"] == []


def test_logits_are_cosines_over_a_hundredth(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, TEXTS, settings())
    video = torch.tensor([[3.0, 4.0] + [0.0] * 46])
    weights = torch.eye(3, 48)
    torch.testing.assert_close(model.logits(video, weights), torch.tensor([[60.0, 80.0, 0.0]]))


def test_a_step_changes_only_the_trained_parts(tiny_clip: Clip) -> None:
    torch.manual_seed(0)
    model = DferClip(tiny_clip, TEXTS, settings())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(model, clips_of_frames())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed == trained
    parts = {name.split(".")[0] for name in trained}
    assert parts == {"image_tower", "temporal", "prompt_learner"}
    assert all(p.grad is None for name, p in model.named_parameters() if name not in trained)
    grouped = {id(p) for group in model.trained_parameters().values() for p in group}
    assert grouped == {id(p) for p in model.parameters() if p.requires_grad}


def test_a_frozen_image_tower_has_no_graph_and_does_not_change(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, TEXTS, settings(lr_image=0.0))
    before = {name: tensor.clone() for name, tensor in model.image_tower.state_dict().items()}
    assert not model.frame_features(clips_of_frames()).requires_grad
    assert model.trained_parameters()["image"] == []
    step(model, clips_of_frames())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.image_tower.state_dict().items())
    assert model.prompt_learner.contexts.grad is not None


@pytest.mark.parametrize("lr_image", [0.0, 1e-5])
def test_batch_norm_keeps_its_statistics_while_training(tiny_resnet_clip: Clip, lr_image: float) -> None:
    model = DferClip(tiny_resnet_clip, TEXTS, settings(lr_image=lr_image)).train()
    frames = clips_of_frames()
    before = {name: buffer.clone() for name, buffer in model.image_tower.named_buffers()}
    training = model.frame_features(frames)
    assert "bn1.running_mean" in before
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.image_tower.named_buffers())
    torch.testing.assert_close(training, model.eval().frame_features(frames))


def test_training_does_not_change_the_source_clip(tiny_clip: Clip) -> None:
    before = clip_identity(tiny_clip)
    step(DferClip(tiny_clip, TEXTS, settings()), clips_of_frames())
    assert clip_identity(tiny_clip) == before


def test_equal_random_states_give_equal_models_whatever_the_texts(tiny_clip: Clip) -> None:
    torch.manual_seed(5)
    first = DferClip(tiny_clip, TEXTS, settings())
    torch.manual_seed(5)
    second = DferClip(tiny_clip, [["a nose."], ["a chin.", "a lip."], ["a brow."]], settings())
    torch.testing.assert_close(first.temporal.state_dict(), second.temporal.state_dict(), rtol=0, atol=0)
    assert torch.equal(first.prompt_learner.contexts, second.prompt_learner.contexts)


def test_a_model_is_restored_from_its_state_dict_over_random_weights(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, TEXTS, settings())
    with torch.no_grad():
        for parameter in tiny_clip.model.parameters():
            parameter.add_(1)  # other weights than those that the model was built from
    restored = DferClip(tiny_clip, TEXTS, settings())
    restored.load_state_dict(model.state_dict())
    frames = clips_of_frames()
    with torch.no_grad():
        assert torch.equal(restored(frames), model(frames))


def test_several_members_and_unified_contexts_train_too(tiny_clip: Clip) -> None:
    texts = [["a smile.", "raised cheeks."], ["tears."], ["a frown.", "lowered brows."]]
    model = DferClip(tiny_clip, texts, settings(context_kind="unified", position="middle", temporal_depth=2))
    assert model.class_weights().shape == (3, 48)
    assert model(clips_of_frames()).shape == (2, 3)
    step(model, clips_of_frames())
    assert model.prompt_learner.contexts.grad.abs().sum() > 0


def test_logits_stay_float32_under_autocast(tiny_clip: Clip) -> None:
    model = DferClip(tiny_clip, TEXTS, settings()).eval()
    frames = clips_of_frames()
    with torch.no_grad():
        exact = model(frames)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            near = model(frames)
    assert near.dtype == torch.float32
    assert (near - exact).abs().max() < 2.0  # logits span -100..100; bfloat16 has 3 digits


def test_a_settings_object_is_accepted(tiny_clip: Clip) -> None:
    assert DferClip(tiny_clip, TEXTS, Settings(frames=4))(clips_of_frames()).shape == (2, 3)


def test_a_too_long_description_names_its_class(tiny_clip: Clip) -> None:
    texts = [*TEXTS[:2], [" ".join(["brow"] * 90)]]
    with pytest.raises(InputError, match="the description of 'anger' has 90 tokens"):
        DferClip(tiny_clip, texts, settings(), class_names=NAMES)


@pytest.mark.parametrize("name", ["ViT-B-16-quickgelu", "ViT-L-14-quickgelu", "ViT-L-14"])
def test_other_vits_equal_open_clip(name: str) -> None:
    config = open_clip.get_model_config(name)
    config["vision_cfg"] |= {"layers": 1, "width": 128, "image_size": 2 * config["vision_cfg"]["patch_size"]}
    config["text_cfg"] |= {"layers": 1, "vocab_size": 49408, "width": 128, "heads": 2}
    clip = clip_from_config(name, "random", config, seed=2)
    model = DferClip(clip, TEXTS, settings(contexts=0, temporal_depth=0)).eval()
    frames = clips_of_frames(clip.image_size)
    with torch.no_grad():
        mean = torch.stack([clip.model.encode_image(of_clip).mean(0) for of_clip in frames])
        text = clip.model.encode_text(clip.tokenizer([t[0] for t in TEXTS]), normalize=True)
        expected = 100 * (mean / mean.norm(dim=1, keepdim=True)) @ text.T
        torch.testing.assert_close(model(frames), expected, rtol=1e-4, atol=1e-3)
