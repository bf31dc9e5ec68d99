"""P3D-63: its layers counted, its three units composed by hand, and other numbers and sizes of frames."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.models.baselines.networks import P3D, Unit


def test_a_resnet_50_with_thirteen_more_convolutions() -> None:
    with torch.device("meta"):
        network = P3D()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    shortcuts = 4
    # 63 layers are the convolutions and the head; three in each of 16 units, 13 temporal ones, the stem
    assert len(convolutions) - shortcuts + 1 == 63 == 3 * 16 + 13 + 1 + 1
    assert [unit.kind for stage in network.stages for unit in stage] == [*"ABCABCABCABCA", "2D", "2D", "2D"]


def test_parameters_are_resnet_50s_and_those_of_the_temporal_convolutions() -> None:
    with torch.device("meta"):
        counted = sum(value.numel() for value in P3D().parameters())
    resnet_50 = 25_557_032 - (2048 * 1000 + 1000)  # torchvision's published count, without its head
    temporal = sum(
        units * (planes * planes * 3 + 2 * planes)
        for units, planes in zip((3, 4, 6), (64, 128, 256), strict=True)
    )
    assert counted == resnet_50 + temporal == 24_925_632


def by_hand(layers: nn.Module, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution that keeps the size and its BatchNorm, from the weights alone."""
    weight = layers.get_parameter("0.weight")
    padding = [size // 2 for size in weight.shape[2:]]
    made = F.conv3d(x, weight, stride=(1, stride, stride), padding=padding)
    mean, variance = layers.get_buffer("1.running_mean"), layers.get_buffer("1.running_var")
    scale, shift = layers.get_parameter("1.weight"), layers.get_parameter("1.bias")
    each = (slice(None), None, None, None)
    return (made - mean[each]) / (variance[each] + 1e-5).sqrt() * scale[each] + shift[each]


@pytest.mark.parametrize("kind", ["A", "B", "C", "2D"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_unit_by_hand(kind: str, stride: int) -> None:
    torch.manual_seed(1)
    unit = Unit(6, 4, kind, stride)  # type: ignore[arg-type]
    for buffer in unit.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    unit.eval()
    x = torch.randn(2, 6, 5, 8, 8)
    with torch.inference_mode():
        reduced = F.relu(by_hand(unit.reduce, x, stride))
        space = F.relu(by_hand(unit.spatial, reduced))
        middle = space
        if kind == "A":
            middle = F.relu(by_hand(unit.get_submodule("temporal"), space))
        if kind == "B":
            middle = space + F.relu(by_hand(unit.get_submodule("temporal"), reduced))
        if kind == "C":
            middle = space + F.relu(by_hand(unit.get_submodule("temporal"), space))
        shortcut = by_hand(unit.get_submodule("shortcut"), x, stride)
        expected = F.relu(by_hand(unit.expand, middle) + shortcut)
        assert expected.shape == (2, 16, 5, 8 // stride, 8 // stride)
        assert torch.allclose(unit(x), expected, atol=1e-5)


def test_the_spatial_kernel_sees_no_time_and_the_temporal_one_no_space() -> None:
    unit = Unit(16, 4, "A")
    assert unit.shortcut is None  # as many channels in as out
    assert unit.spatial.get_parameter("0.weight").shape == (4, 4, 1, 3, 3)
    assert unit.get_submodule("temporal").get_parameter("0.weight").shape == (4, 4, 3, 1, 1)


@pytest.mark.parametrize(("frames", "size", "steps"), [(1, 32, 1), (4, 64, 1), (16, 32, 1), (17, 48, 2)])
def test_numbers_and_sizes_of_frames(frames: int, size: int, steps: int) -> None:
    network = P3D((1, 1, 1, 1)).eval()
    with torch.inference_mode():
        features = network(torch.randn(2, 3, frames, size, size))
    assert features.shape == (2, steps, 2048)
    assert features.isfinite().all()
