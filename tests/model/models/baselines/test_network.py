"""The classifier on a video network, against torchvision and an LSTM and a Transformer by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.video import r2plus1d_18, r3d_18

from dfer_model.models.baselines.video_network import EachFrame, LastState, VideoNetwork, Volumes
from dfer_model.models.temporal import TemporalModel
from dfer_model.training.ema import Average


@pytest.mark.parametrize(("make", "frames", "size"), [(r3d_18, 3, 32), (r2plus1d_18, 1, 16)])
def test_a_3d_resnet_equals_torchvision(make: type[nn.Module], frames: int, size: int) -> None:
    torch.manual_seed(1)
    original = make(num_classes=3).eval()
    headless = make(num_classes=3)
    headless.load_state_dict(original.state_dict())
    headless.fc = nn.Identity()
    model = VideoNetwork(Volumes(headless), None, 512, 3).eval()
    model.head.load_state_dict(original.get_submodule("fc").state_dict())
    clips = torch.randn(2, frames, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(model(clips), original(clips.transpose(1, 2)))


class Colours(nn.Module):
    """A small 2D network: a linear layer on the mean colour of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.layer(images.mean(dim=(2, 3)))
        return made


def test_a_2d_network_is_applied_to_each_frame() -> None:
    torch.manual_seed(1)
    network = resnet18()
    network.fc = nn.Identity()
    images = EachFrame(network.eval())
    clips = torch.randn(2, 3, 3, 32, 32)
    with torch.inference_mode():
        features = images(clips)
        assert features.shape == (2, 3, 512)
        for clip in range(2):
            for frame in range(3):
                alone = network(clips[clip, frame][None])[0]
                assert torch.allclose(features[clip, frame], alone, atol=1e-5)


def lstm_layer(module: nn.Module, layer: int, inputs: Tensor) -> Tensor:
    """One layer of an LSTM by its equations (gates in torch's order i, f, g, o): all its states."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w, u, b, c = (module.get_parameter(f"{name}_l{layer}") for name in names)
    state = cell = torch.zeros(inputs.shape[0], inputs.shape[2])
    states = []
    for step in range(inputs.shape[1]):
        gates = inputs[:, step] @ w.T + b + state @ u.T + c
        i, f, g, o = gates.chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        state = o.sigmoid() * cell.tanh()
        states.append(state)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("frames", [1, 6])
def test_an_lstm_by_hand(depth: int, frames: int) -> None:
    torch.manual_seed(1)
    temporal = LastState(5, depth)
    model = VideoNetwork(EachFrame(Colours()), temporal, 5, 3)
    clips = torch.randn(4, frames, 3, 8, 8)
    with torch.inference_mode():
        states = model.image.network.get_submodule("layer")(clips.mean(dim=(3, 4)))
        for layer in range(depth):
            states = lstm_layer(temporal, layer, states)
        expected = F.linear(states[:, -1], model.head.weight, model.head.bias)
        assert torch.allclose(model(clips), expected, atol=1e-6)


def test_a_transformer_by_hand() -> None:
    torch.manual_seed(1)
    temporal = TemporalModel(5, 4, 1)
    model = VideoNetwork(EachFrame(Colours()), temporal, 5, 3)
    clips = torch.randn(2, 4, 3, 8, 8)
    with torch.inference_mode():
        features = model.image.network.get_submodule("layer")(clips.mean(dim=(3, 4)))
        expected = model.head(temporal(features))  # which has tests of its own
        assert torch.allclose(model(clips), expected, atol=1e-6)
        assert not torch.allclose(model(clips.flip(1)), expected, atol=1e-3)  # the order of frames counts


def test_without_a_temporal_model_the_steps_are_averaged() -> None:
    torch.manual_seed(1)
    model = VideoNetwork(EachFrame(Colours()), None, 5, 3)
    clips = torch.randn(2, 4, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(model(clips), model(clips.mean(dim=1, keepdim=True)), atol=1e-6)


def test_dropout_is_before_the_head_and_in_training_alone() -> None:
    torch.manual_seed(1)
    model = VideoNetwork(EachFrame(Colours()), None, 5, 3, dropout=0.5)
    clips = torch.randn(2, 4, 3, 8, 8)
    assert not torch.equal(model(clips), model(clips))
    model.eval()
    assert torch.equal(model(clips), model(clips))


def r3d(trains_image: bool) -> VideoNetwork:
    torch.manual_seed(1)
    network = r3d_18()
    network.fc = nn.Identity()
    return VideoNetwork(Volumes(network), None, 512, 3, trains_image=trains_image)


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


def test_batch_statistics_are_learned_even_of_one_clip() -> None:
    model = r3d(trains_image=True)
    assert model.trained_parameters()["image"]
    before = statistics(model)
    logits = model(torch.randn(1, 4, 3, 32, 32))
    assert logits.isfinite().all()
    assert all(not torch.equal(value, before[name]) for name, value in statistics(model).items())


def test_a_frozen_network_keeps_its_statistics_and_has_no_gradient() -> None:
    model = r3d(trains_image=False)
    before = statistics(model)
    model(torch.randn(2, 4, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in statistics(model).items())
    assert model.trained_parameters()["image"] == []
    assert all(value.grad is None for value in model.image.parameters())
    assert model.head.weight.grad is not None


def test_an_average_of_the_weights_answers_with_averaged_statistics() -> None:
    torch.manual_seed(1)
    norm = nn.BatchNorm3d(3)
    average = Average(norm, decay=0.9)
    expected = torch.zeros(3)
    for step in (1, 2, 3):
        norm(torch.randn(2, 3, 4, 8, 8) + step)
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * norm.get_buffer("running_mean")
    now = norm.get_buffer("running_mean").clone()
    with average.in_place():
        assert torch.allclose(norm.get_buffer("running_mean"), expected, atol=1e-6)
    assert torch.equal(norm.get_buffer("running_mean"), now)
