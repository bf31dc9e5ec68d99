"""Kernels of a GPU for gpu_check.py: attention against float32, and variants of an image block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import step
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from gpu_setup import Figures, Setup
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dfer_model.models import bf16
from dfer_model.models.compiled import run_compiled

# Rows, heads, query tokens, key tokens, width of a head, mask ("each": one per row).
SHAPES = {
    "image": (768, 12, 50, 50, 64, ""),
    "image, last block": (768, 12, 1, 50, 64, ""),
    "text": (14, 8, 30, 30, 64, "causal"),
    "text, last block": (14, 8, 1, 30, 64, "each"),
    "temporal": (48, 8, 17, 17, 64, ""),
}
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
LOW = -120.0
TOLERANCE = 0.03  # bfloat16 has 8 bits


def attention(setup: Setup) -> Figures:
    """The largest relative error of output and gradients of each kernel against float32.

    It is infinite if a value is not finite, also for scores around -120, where cuDNN is known to fail.
    """
    torch.manual_seed(0)
    errors: dict[str, dict[str, float | None]] = {name: {} for name in BACKENDS}
    for shape, (rows, heads, queries, keys, width, masked) in SHAPES.items():
        rows = 2 if setup.small else rows
        sizes = [(rows, heads, tokens, width) for tokens in (queries, keys, keys, queries)]
        given = [torch.randn(size, device=setup.device).bfloat16() for size in sizes]
        expected = _attended(
            [each.float() for each in given], _mask(masked, rows, keys, setup.device), "math"
        )
        mask = _mask(masked, rows, keys, setup.device, torch.bfloat16)
        for name in BACKENDS:
            try:
                found = _attended(given, mask, name)
            except RuntimeError:  # no such kernel for the shape or on the device
                errors[name][shape] = None
                continue
            low = _attended(_with_low_scores(given), mask, name)
            finite = all(bool(each.isfinite().all()) for each in low)
            errors[name][shape] = max(map(_error, found, expected)) if finite else float("inf")
    worst = {
        f"{name}_error": max([each for each in found.values() if each is not None], default=None)
        for name, found in errors.items()
    }
    return {**worst, "by_shape": errors}


def _with_low_scores(given: list[Tensor]) -> list[Tensor]:
    """Copies of query, key, value and gradient; the scores, after scaling, are about `LOW` lower."""
    query, key, *others = (each.clone() for each in given)
    query[..., 0], key[..., 0] = 1.0, LOW * key.shape[-1] ** 0.5
    return [query, key, *others]


def _mask(
    kind: str, rows: int, keys: int, device: torch.device, number: torch.dtype = torch.float32
) -> Tensor | None:
    whole = torch.full((keys, keys), float("-inf"), device=device, dtype=number).triu(1)
    if kind == "each":
        return whole[torch.arange(rows, device=device) % keys][:, None, None]
    return whole if kind else None


def _attended(given: list[Tensor], mask: Tensor | None, backend: str) -> list[Tensor]:
    """The output for query, key and value, and the gradients of the three for the fourth."""
    *inputs, gradient = (each.detach().clone() for each in given)
    leaves = [each.requires_grad_() for each in inputs]
    with sdpa_kernel([BACKENDS[backend]]):
        output = F.scaled_dot_product_attention(*leaves, attn_mask=mask)
        gradients = torch.autograd.grad(output, leaves, gradient)
    return [output.detach(), *gradients]


def _error(found: Tensor, expected: Tensor) -> float:
    error = float((found.float() - expected).abs().max() / expected.abs().max())
    return error if error == error else float("inf")


def kernels_hold(figures: Mapping[str, Any]) -> bool:
    """Whether the kernels that training may use are within the tolerance."""
    errors = [figures[f"{name}_error"] for name in BACKENDS if name != "cudnn"]
    return all(error is None or error <= TOLERANCE for error in errors)


def variants(setup: Setup) -> Figures:
    """Milliseconds of an image block, forward and backward, as it is and with one change each."""
    rows, width, heads = (2, 64, 4) if setup.small else (768, 768, 12)
    torch.manual_seed(0)
    sizes = [(width,), (3 * width, width), (width, width), (width,), (4 * width, width), (width, 4 * width)]
    weights = bf16.BlockWeights(
        *(
            tuple(
                (0.02 * torch.randn(each, device=setup.device)).bfloat16().requires_grad_() for each in pair
            )
            for pair in ((size, size[:1]) for size in sizes)
        )  # type: ignore[arg-type]
    )
    x = torch.randn(rows, 50, width, device=setup.device).bfloat16().requires_grad_()
    form = bf16.Form(heads, 1e-5, quick=True)
    leaves = [x, *(each for pair in weights for each in pair)]

    def gradients(of: Callable[..., Tensor] = bf16.block) -> tuple[Tensor, ...]:
        return torch.autograd.grad(of(x, weights, form, None, None).float().square().sum(), leaves)

    kept, as_it_is = bf16._heads, gradients()
    with _replaced(bf16, "_heads", _permuted):
        equal = all(map(torch.equal, gradients(), as_it_is))
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    works: dict[str, tuple[Any, Callable[..., Tensor]]] = {
        "as_it_is": (nullcontext(), bf16.block),
        "permute": (_replaced(bf16, "_heads", _permuted), bf16.block),
    }
    if setup.device.type == "cuda":
        works["cudnn"] = (sdpa_kernel([SDPBackend.CUDNN_ATTENTION]), bf16.block)
        works["compiled"] = (nullcontext(), partial(run_compiled, bf16.block, "inductor"))
    found: Figures = {"unbind_equal": equal}
    for name, (context, block) in works.items():
        torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
        try:
            with context:
                found[f"{name}_ms"] = (
                    1e3
                    * step.fastest(
                        {"": lambda times, of=block: [gradients(of) for _ in range(times)]},
                        setup.device,
                        1 if setup.small else 5,
                    )[""]
                )
        except RuntimeError as error:
            found[f"{name}_ms"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    assert bf16._heads is kept
    return found


def _permuted(joined: Tensor, parts: int, form: bf16.Form) -> tuple[Tensor, ...]:
    """As `bf16._heads`; its backward pass copies the gradients of q, k and v once more."""
    batch, tokens, _ = joined.shape
    return tuple(joined.view(batch, tokens, parts, form.heads, -1).permute(2, 0, 3, 1, 4))


@contextmanager
def _replaced(module: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
