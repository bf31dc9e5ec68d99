"""Devices: the number format of each, torch's settings for CUDA, and how many workers read clips.

No GPU is needed: what is read of a device is replaced, or given as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dfer_model.config import with_overrides
from dfer_model.devices import (
    choose_device,
    default_precision,
    inference_precision,
    require_precision,
    set_up_cuda,
    whole_float32,
)
from dfer_model.distributed import Processes, group_options
from dfer_model.errors import DeviceWarning, InputError
from dfer_model.launch import cores, workers_of
from dfer_model.launchers.local import gpu_names

from . import tiny

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "able", "expected"),
    [(CUDA, True, "bf16"), (CUDA, False, "fp32"), (CPU, True, "fp32"), (CPU, False, "fp32")],
)
def test_the_default_is_bf16_on_gpus_that_have_it(device: torch.device, able: bool, expected: str) -> None:
    assert default_precision(device, lambda _: able) == expected


def test_a_device_without_bfloat16_evaluates_in_float32() -> None:
    with inference_precision("bf16", CPU, lambda _: False):
        assert not torch.is_autocast_enabled("cpu")
    with inference_precision("bf16", CPU, lambda _: True):
        assert torch.get_autocast_dtype("cpu") is torch.bfloat16
        assert torch.is_autocast_enabled("cpu")


def test_training_in_bf16_is_refused_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    with pytest.raises(InputError, match=r"this processor has no bfloat16 .*\nGive --set precision=fp32"):
        require_precision("bf16", CPU, lambda _: False)
    with pytest.raises(InputError, match=r"Tesla V100 has no bfloat16 instructions, .* since Ampere"):
        require_precision("bf16", CUDA, lambda _: False)
    require_precision("fp32", CPU, lambda _: False)
    require_precision("bf16", CUDA, lambda _: True)


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Restores what `set_up_cuda` changes."""
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.enable_cudnn_sdp(cudnn)


@pytest.mark.usefixtures("torch_settings")
def test_cuda_uses_tf32_if_set_and_never_cudnn_attention() -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    for tf32 in (True, False):
        set_up_cuda(tf32=tf32)
        assert torch.backends.cuda.matmul.allow_tf32 == tf32
        assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch 2.9 added it")
@pytest.mark.parametrize("newer", ["tf32", "ieee"])
def test_a_precision_that_was_set_in_torchs_newer_way_is_kept(newer: str) -> None:
    torch.set_float32_matmul_precision("highest" if newer == "tf32" else "high")
    torch.backends.cuda.matmul.fp32_precision = newer
    with whole_float32():
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == newer


def test_auto_warns_of_a_gpu_that_torch_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(DeviceWarning, match="torch sees no GPU: the CPU is used"):
        assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU  # without a warning, which pytest would turn into an error
    monkeypatch.setenv("PATH", "")
    assert choose_device("auto") == CPU


# Workers


@pytest.mark.parametrize(
    ("requested", "processes", "available", "expected"),
    [
        ("auto", 1, 8, 8),
        ("auto", 1, 64, 16),  # enough for one GPU
        ("auto", 4, 64, 16),  # for each of four GPUs
        ("auto", 4, 16, 4),
        ("auto", 4, 2, 1),
        (8, 4, 64, 2),
        (2, 4, 64, 1),
        (0, 4, 64, 0),
    ],
)
def test_workers_of_a_process(requested: int | str, processes: int, available: int, expected: int) -> None:
    number = tiny.settings(workers=requested).workers
    assert workers_of(number, processes, available) == expected
    assert Processes(0, 8, on_this_machine=processes).workers(number, available) == expected


def test_workers_are_chosen_where_the_job_runs() -> None:
    assert with_overrides(tiny.settings(), ["workers=auto"]).workers == "auto"
    assert with_overrides(tiny.settings(), ["workers=3"]).workers == 3
    assert workers_of("auto") == min(16, cores())


# GPUs of a machine

WHOLE = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c)\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-1b2c)\n"
PARTS = (
    "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c)\n"
    "  MIG 3g.20gb     Device  0: (UUID: MIG-c738)\n"
    "  MIG 3g.20gb     Device  1: (UUID: MIG-d4fa)\n"
)


@pytest.mark.parametrize(
    ("visible", "count", "listing", "expected"),
    [
        ("", 2, WHOLE, ("0", "1")),
        ("", 2, "", ("0", "1")),
        ("5,7", 2, WHOLE, ("5", "7")),
        ("5,7", 1, WHOLE, ("5",)),
        ("", 1, PARTS, ("MIG-c738", "MIG-d4fa")),  # torch sees the first instance only
        ("MIG-d4fa, MIG-c738", 1, PARTS, ("MIG-d4fa", "MIG-c738")),
        ("0", 1, PARTS, ("0",)),
    ],
)
def test_the_gpus_that_runs_are_distributed_over(
    visible: str, count: int, listing: str, expected: tuple[str, ...]
) -> None:
    assert gpu_names(visible, count, listing) == expected


def test_processes_on_gpus_name_theirs_to_nccl() -> None:
    assert group_options(CPU) == {"backend": "gloo"}
    second = torch.device("cuda", 1)
    assert group_options(second) == {"backend": "cpu:gloo,cuda:nccl", "device_id": second}
