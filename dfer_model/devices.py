"""Where to compute, and in which number format."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from dfer_model.errors import InputError


def choose_device(device: str | None = None, *, tf32: bool = True) -> torch.device:
    """The device `cpu` or `cuda`; for `auto` and None CUDA if available. Raises InputError.

    With CUDA and `tf32`, the factors of float32 matrix products are rounded to TF32 from then on, as torch
    does by default for convolutions. Without `tf32` they are not, which is torch's default.
    """
    available = torch.cuda.is_available()
    chosen = ("cuda" if available else "cpu") if device in (None, "auto") else device
    if chosen not in ("cpu", "cuda"):
        raise InputError(
            f"no device {device!r}\nThere are: auto, cpu, cuda (CUDA_VISIBLE_DEVICES chooses which)"
        )
    if chosen == "cuda" and not available:
        raise InputError("this machine has no CUDA device that torch can use\nGive --device cpu")
    if chosen == "cuda":
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
    return torch.device(chosen)


def device_name(device: torch.device) -> str:
    """The name for the user: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision(name: str, device: torch.device) -> torch.autocast:
    """The autocast context for the setting `precision` (`fp32` or `bf16`)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: Mapping[str, object] = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def slow_precision(name: str, device: torch.device) -> str:
    """A warning if the device is slow at the setting `precision`, else ""."""
    if name != "bf16" or multiplies_bfloat16(device):
        return ""
    where = "this processor" if device.type == "cpu" else device_name(device)
    return (
        f"precision=bf16: {where} has no bfloat16 instructions and computes many times more slowly in it "
        "than in float32; --set precision=fp32 is faster here"
    )


def accelerator(device: torch.device, name: str) -> Accelerator:
    """An Accelerator for one training."""
    # Accelerate stores device and precision of its first use per process, but each run has its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device.type == "cpu", mixed_precision={"fp32": "no", "bf16": "bf16"}[name])


def use_one_thread() -> None:
    """Compute on one CPU thread: more gain little on small tensors and slow down other processes."""
    torch.set_num_threads(1)
