"""C3D: its parameters by layer arithmetic, its layers composed by hand, and other numbers of frames."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from dfer_model.models.baselines.networks import C3D


def test_parameters_by_layer_arithmetic() -> None:
    widths = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    convolutions = sum(inside * outside * 27 + outside for inside, outside in pairwise(widths))
    dense = (8192 * 4096 + 4096) + (4096 * 4096 + 4096)
    with torch.device("meta"):
        counted = sum(value.numel() for value in C3D().parameters())
    assert counted == convolutions + dense == 77_995_776
    # With a head for Sports-1M's 487 classes these are the 80 M of the published network.
    assert counted + 4096 * 487 + 487 == 79_991_015


def test_four_frames_by_hand() -> None:
    torch.manual_seed(1)
    network = C3D().eval()
    volume = torch.randn(1, 3, 4, 112, 112)
    x = volume
    with torch.inference_mode():
        for names, pool in (
            (["conv1"], (1, 2, 2)),
            (["conv2"], (2, 2, 2)),
            (["conv3a", "conv3b"], (2, 2, 2)),
            (["conv4a", "conv4b"], (1, 2, 2)),  # one step is left, and stays
            (["conv5a", "conv5b"], (1, 2, 2)),
        ):
            for name in names:
                layer = network.get_parameter(f"{name}.weight"), network.get_parameter(f"{name}.bias")
                x = F.relu(F.conv3d(x, *layer, padding=1))
            if names == ["conv5a", "conv5b"]:
                x = F.pad(x, (0, 1, 0, 1))  # 7 x 7 to 8 x 8 at the end, for the published 4 x 4
            x = F.max_pool3d(x, pool)
        x = x.flatten(1)
        for name in ("fc6", "fc7"):
            x = F.relu(x @ network.get_parameter(f"{name}.weight").T + network.get_parameter(f"{name}.bias"))
        assert torch.allclose(network(volume), x[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (5, 1), (16, 1), (17, 2), (64, 4)])
def test_a_feature_for_every_sixteen_frames(frames: int, steps: int) -> None:
    with torch.device("meta"):
        assert C3D()(torch.empty(2, 3, frames, 112, 112)).shape == (2, steps, 4096)
