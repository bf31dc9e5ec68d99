"""A linear head on CLIP's image tower, by hand from open_clip's features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dfer_model.config import ModelSettings
from dfer_model.models.clip import Clip
from dfer_model.models.heads import LinearHead


def settings(**changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"classifier": "linear", "frames": 4, **changes})


def frames(length: int = 4) -> torch.Tensor:
    return torch.randn(2, length, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def step(model: LinearHead) -> None:
    trained = [each for part in model.trained_parameters().values() for each in part]
    optimiser = torch.optim.SGD(trained, lr=0.1, weight_decay=0.1)
    F.cross_entropy(model(frames()), torch.tensor([0, 2])).backward()
    optimiser.step()


@pytest.mark.parametrize("tower", ["tiny_clip", "tiny_resnet_clip"])
@pytest.mark.parametrize("length", [1, 4, 32])
def test_logits_are_a_linear_layer_on_the_mean_of_frame_features(
    tower: str, length: int, request: pytest.FixtureRequest
) -> None:
    clip: Clip = request.getfixturevalue(tower)
    model = LinearHead(clip, 3, settings(temporal_depth=0, frames=length)).eval()
    with torch.no_grad():
        mean = torch.stack([clip.model.encode_image(of_clip).mean(0) for of_clip in frames(length)])
        expected = mean @ model.head.weight.T + model.head.bias
        torch.testing.assert_close(model(frames(length)), expected, rtol=1e-4, atol=1e-5)


def test_with_a_temporal_model_the_head_reads_its_class_token(tiny_clip: Clip) -> None:
    model = LinearHead(tiny_clip, 3, settings(temporal_depth=2)).eval()
    with torch.no_grad():
        features = torch.stack([tiny_clip.model.encode_image(of_clip) for of_clip in frames()])
        expected = F.linear(model.temporal(features), model.head.weight, model.head.bias)
        torch.testing.assert_close(model(frames()), expected, rtol=1e-4, atol=1e-4)


def test_a_linear_probe_does_not_change_the_tower(tiny_resnet_clip: Clip) -> None:
    model = LinearHead(tiny_resnet_clip, 3, settings(lr_image=0.0, temporal_depth=0))
    assert {name for name, part in model.trained_parameters().items() if part} == {"head"}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(model)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_fine_tuning_changes_tower_temporal_model_and_head(tiny_clip: Clip) -> None:
    model = LinearHead(tiny_clip, 3, settings())
    source = tiny_clip.model.visual.proj.clone()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    step(model)
    assert not any(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert torch.equal(tiny_clip.model.visual.proj, source)
    grouped = {id(each) for part in model.trained_parameters().values() for each in part}
    assert grouped == {id(each) for each in model.parameters()}


def test_texts_have_no_effect(tiny_clip: Clip) -> None:
    model = LinearHead(tiny_clip, 3, settings()).eval()
    assert model.class_weights().numel() == 0
    assert not any(name.startswith("text") for name in model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(frames()), model(frames(), model.class_weights()))
