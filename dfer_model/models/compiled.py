"""torch.compile of a function of tensors, for the setting `compile`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dfer_model.errors import InputError

OFF = "off"


@cache
def _compiled(function: Callable[..., Tensor], backend: str) -> Callable[..., Tensor]:
    made: Callable[..., Tensor] = torch.compile(function, backend=backend)
    return made


def run_compiled(function: Callable[..., Tensor], backend: str, *given: Any) -> Tensor:
    """`function` of `given`, compiled by torch's `backend` at its first call; equal up to rounding.

    Without gradients, and for the backend `off`, the function itself: an evaluation is too short to gain what
    compiling costs. Raises InputError if the backend cannot compile on this machine.
    """
    if backend == OFF or not torch.is_grad_enabled():
        return function(*given)
    from torch._dynamo.exc import TorchDynamoException  # imported here, because it takes a second

    try:
        return _compiled(function, backend)(*given)
    except TorchDynamoException as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"compile={backend}: torch cannot compile the towers on this machine: {reason}\n"
            "Give --set compile=off"
        ) from error
