"""Settings of a training: the precision, which depends on the device if it is not given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_prompts import Workspace
from dfer_prompts.api.inputs import cluster_notes, settings_for


@pytest.fixture
def ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU that has bfloat16; torch's settings for it are restored."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda _: None)


OWN = "presets: {slow: {precision: fp32}, ours: {epochs: 3}, printed: {base: paper, epochs: 3}}\n"


@pytest.mark.usefixtures("ampere")
@pytest.mark.parametrize(
    ("choices", "device", "expected"),
    [
        ({}, "auto", "bf16"),
        ({}, "cuda", "bf16"),
        ({}, "cpu", "fp32"),
        ({}, None, "fp32"),  # jobs of a cluster
        ({"preset": "strong", "strategy": "coop"}, "auto", "bf16"),
        ({"preset": "paper"}, "auto", "fp32"),
        ({"preset": "paper-text"}, "auto", "fp32"),
        ({"preset": "paper", "overrides": ["precision=bf16"]}, "auto", "bf16"),
        ({"overrides": [" precision = fp32"]}, "auto", "fp32"),
        ({"preset": "slow"}, "auto", "fp32"),
        ({"preset": "ours"}, "auto", "bf16"),
        ({"preset": "printed"}, "auto", "fp32"),
    ],
)
def test_the_precision_is_that_of_the_device_unless_it_is_given(
    isolated: Path, choices: Any, device: str | None, expected: str
) -> None:
    (isolated / "dfer.yaml").write_text(OWN)
    assert settings_for(Workspace(isolated), "mafw", choices, device=device).precision == expected


@pytest.mark.usefixtures("ampere")
def test_a_gpu_without_bfloat16_trains_in_float32(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert settings_for(Workspace(isolated), "mafw", {}, device="auto").precision == "fp32"


def test_a_grid_for_a_cluster_names_the_precision_that_was_not_given(isolated: Path) -> None:
    workspace = Workspace(isolated)
    (note,) = cluster_notes(workspace, {}, "slurm")
    assert note.startswith("precision is fp32, because the GPUs of the jobs are unknown here; --set prec")
    assert cluster_notes(workspace, {"overrides": ["precision=bf16"]}, "slurm") == ()
    assert cluster_notes(workspace, {"preset": "paper"}, "slurm") == ()
    assert cluster_notes(workspace, {}, "local") == ()
