"""Where to compute, and in which number format."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from dfer_model.errors import DeviceWarning, InputError


def choose_device(device: str | None = None, *, tf32: bool = True) -> torch.device:
    """The device `cpu` or `cuda`; for `auto` and None CUDA if available. Raises InputError.

    CUDA is set up by `set_up_cuda`. Issues a DeviceWarning if `auto` ignores a GPU that torch does not see.
    """
    available = torch.cuda.is_available()
    automatic = device in (None, "auto")
    chosen = ("cuda" if available else "cpu") if automatic else device
    if chosen not in ("cpu", "cuda"):
        raise InputError(
            f"no device {device!r}\nThere are: auto, cpu, cuda (CUDA_VISIBLE_DEVICES chooses which)"
        )
    if chosen == "cuda" and not available:
        raise InputError("this machine has no CUDA device that torch can use\nGive --device cpu")
    if chosen == "cuda":
        set_up_cuda(tf32=tf32)
    elif automatic and shutil.which("nvidia-smi"):
        warnings.warn(
            "nvidia-smi is installed, but torch sees no GPU: the CPU is used. dfer-prompts doctor names the "
            "cause; --device cpu chooses the CPU without this message",
            DeviceWarning,
            stacklevel=1,  # of this line, so that it is shown once
        )
    return torch.device(chosen)


def set_up_cuda(*, tf32: bool) -> None:
    """Settings of torch for computing on CUDA, for this process.

    With `tf32`, the factors of float32 matrix products are rounded to TF32, as torch does by default for
    convolutions. Without, they are not, which is torch's default. Attention does not use cuDNN, which torch
    prefers on Hopper since 2.11: its backward pass can return NaN for an explicit mask (pytorch issue 196678)
    and for one query token (cudnn-frontend issue 1072), and the last block of a tower has both.
    `benchmarks/gpu_check.py` compares it with the other kernels.
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cuda.enable_cudnn_sdp(False)


@contextmanager
def whole_float32() -> Iterator[None]:
    """A context for matrix products without TF32 and without autocast."""
    before = _float32_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _float32_precision() -> str:
    """The value for `torch.set_float32_matmul_precision` that keeps the current precision on CUDA.

    torch 2.9 added `torch.backends.cuda.matmul.fp32_precision`, which decides. The older function sets both,
    but reads its own value, or raises RuntimeError if the two differ.
    """
    newer = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    if newer is None:
        return torch.get_float32_matmul_precision()
    return "high" if newer == "tf32" else "highest"


def device_name(device: torch.device) -> str:
    """The name for the user: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision(name: str, device: torch.device) -> torch.autocast:
    """The autocast context of training for the setting `precision` (`fp32` or `bf16`)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16")


def autocast_format(device: torch.device) -> torch.dtype:
    """The number format of the current autocast context for the device; float32 without one."""
    dtype = torch.float32
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    return dtype


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products: GPUs since Ampere, some processors."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not hasattr(torch.cpu, "get_capabilities"):  # older versions of torch
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    able: Mapping[str, object] = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


Multiplies = Callable[[torch.device], bool]


def inference_precision(
    name: str, device: torch.device, multiplies: Multiplies = multiplies_bfloat16
) -> torch.autocast:
    """The autocast context of evaluation: as `precision`, but float32 on a device without bfloat16.

    So a run that was trained in bf16 can be used on every machine. Its logits differ by rounding.
    """
    return precision(name if name != "bf16" or multiplies(device) else "fp32", device)


def default_precision(device: torch.device, multiplies: Multiplies = multiplies_bfloat16) -> str:
    """The setting `precision` where none is given: bf16 on a GPU that has it, else fp32."""
    return "bf16" if device.type == "cuda" and multiplies(device) else "fp32"


def require_precision(name: str, device: torch.device, multiplies: Multiplies = multiplies_bfloat16) -> None:
    """Raise InputError if training on the device at the setting `precision` would be many times slower."""
    if name != "bf16" or multiplies(device):
        return
    where = (
        "this processor has no bfloat16 instructions"
        if device.type == "cpu"
        else f"{device_name(device)} has no bfloat16 instructions, which GPUs have since Ampere"
    )
    raise InputError(
        f"precision=bf16: {where}; training would be many times slower than in float32\n"
        "Give --set precision=fp32"
    )


def accelerator(device: torch.device) -> Accelerator:
    """An Accelerator for one training.

    It is not given the number format: it would replace `forward` of a model by a method bound to the model,
    a reference cycle that keeps the model in memory after the training.
    """
    # Accelerate stores the device of its first use per process, but each run has its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no")


def use_one_thread() -> None:
    """Compute on one CPU thread: more gain little on small tensors and slow down other processes."""
    torch.set_num_threads(1)
