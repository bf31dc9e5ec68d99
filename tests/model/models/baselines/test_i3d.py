"""I3D: its parameters by layer arithmetic, SAME padding, and other numbers and sizes of frames."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dfer_model.models.baselines.networks import I3D, Mixed, Pool, pad_same


def convolution(inside: int, outside: int, size: int) -> int:
    """Parameters of a convolution without bias and its BatchNorm."""
    return inside * outside * size**3 + 2 * outside


def inception(inside: int, b0: int, b1a: int, b1b: int, b2a: int, b2b: int, b3: int) -> int:
    """Parameters of an Inception module, from the columns of table 1 of arXiv 1409.4842."""
    return (
        convolution(inside, b0, 1)
        + convolution(inside, b1a, 1) + convolution(b1a, b1b, 3)
        + convolution(inside, b2a, 1) + convolution(b2a, b2b, 3)
        + convolution(inside, b3, 1)
    )  # fmt: skip


def test_parameters_by_layer_arithmetic() -> None:
    table = [  # 3a to 5b: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 (here 3x3x3), pool projection
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    expected = convolution(3, 64, 7) + convolution(64, 64, 1) + convolution(64, 192, 3)
    inside = 192
    for b0, b1a, b1b, b2a, b2b, b3 in table:
        expected += inception(inside, b0, b1a, b1b, b2a, b2b, b3)
        inside = b0 + b1b + b2b + b3
    assert inside == 1024
    with torch.device("meta"):
        counted = sum(value.numel() for value in I3D().parameters())
    assert counted == expected == 12_287_264  # the paper's table 1 says 12 M


def test_layers_are_called_as_in_the_port_whose_weights_are_read() -> None:
    with torch.device("meta"):
        names = set(I3D().state_dict())
    assert {"Conv3d_1a_7x7.conv3d.weight", "Conv3d_1a_7x7.bn.running_var"} <= names
    assert {
        f"Mixed_4f.{branch}.conv3d.weight" for branch in ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
    } <= names
    assert not any("bias" in name and "conv3d" in name for name in names)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        (16, 7, 2, 2, 3),
        (15, 7, 2, 3, 3),
        (8, 3, 2, 0, 1),
        (7, 3, 2, 1, 1),
        (5, 3, 1, 1, 1),
        (4, 2, 2, 0, 0),
        (3, 2, 2, 0, 1),
    ],
)
def test_same_padding_puts_the_odd_zero_at_the_end(
    size: int, kernel: int, stride: int, before: int, after: int
) -> None:
    padded = pad_same(torch.ones(1, 1, size, 1, 1), (kernel, 1, 1), (stride, 1, 1)).flatten().tolist()
    assert padded == [0] * before + [1] * size + [0] * after


def test_a_pool_by_hand() -> None:
    x = torch.arange(5.0).view(1, 1, 1, 1, 5)
    assert Pool((1, 1, 3), (1, 1, 2))(x).flatten().tolist() == [1, 3, 4]  # (0 0 1) (1 2 3) (3 4 0)


def test_a_mixed_module_puts_its_branches_side_by_side() -> None:
    torch.manual_seed(1)
    mixed = Mixed(5, (1, 2, 3, 2, 4, 6)).eval()
    x = torch.rand(1, 5, 3, 4, 4)
    with torch.inference_mode():
        branches = mixed(x).split((1, 3, 4, 6), dim=1)
        pooled = nn.functional.max_pool3d(x, 3, stride=1, padding=1)
        weight = mixed.get_parameter("b3b.conv3d.weight")
        # A fresh BatchNorm in eval mode divides by sqrt(1 + eps) alone.
        expected = (nn.functional.conv3d(pooled, weight) / (1 + 1e-3) ** 0.5).relu()
    assert torch.allclose(branches[3], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "size", "steps"), [(1, 32, 1), (4, 48, 1), (16, 32, 1), (17, 32, 2), (64, 32, 7)]
)
def test_numbers_and_sizes_of_frames(frames: int, size: int, steps: int) -> None:
    torch.manual_seed(1)
    network = I3D().eval()
    with torch.inference_mode():
        features = network(torch.randn(1, 3, frames, size, size))
    assert features.shape == (1, steps, 1024)
    assert features.isfinite().all()
