"""Reading a DFER-CLIP checkpoint saved with `torch.save`, without executing code of it.

The released files contain an object of a class of the training script, with numpy arrays, besides the state
dict; `tensor_file` skips it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dfer_model.models.state_names import unwrapped
from dfer_model.models.tensor_file import check_sizes, in_float32, is_safetensors, read_tensor_file

from ..errors import InputError


class Checkpoint(NamedTuple):
    """The tensors of a file, floating ones in float32, and the epoch it states, if any."""

    tensors: dict[str, Tensor]
    epoch: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """The state dict in `path`, at the top level or under `state_dict` or another usual key.

    Raises InputError, with the path, if it cannot be read, would execute code, or has no state dict.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    if is_safetensors(path):
        raise InputError(
            f"{path} cannot be read as a checkpoint: it is a safetensors file, not one of torch.save"
        )
    content = read_tensor_file(path, torchscript=False)
    state = unwrapped(content, path)
    for key, value in state.items():
        if type(value) not in (Tensor, torch.nn.Parameter):
            raise InputError(f"{path} has no state dict: {key[:80]!r} is not a tensor")
    check_sizes(state, path)
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    return Checkpoint(in_float32(state), epoch if type(epoch) is int else None)
