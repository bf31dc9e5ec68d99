"""Reading a checkpoint of DFER-CLIP that another program saved with `torch.save`, running nothing of it.

DFER-CLIP's released files hold an object of the training script's own class, with numpy arrays, beside the
state dict. `tensor_file` reads around it.
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
    """The tensors of a file, floating ones in float32, and the epoch it says it is of."""

    tensors: dict[str, Tensor]
    epoch: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """The state dict in `path`, which may stand under `state_dict` or another usual name.

    Raises InputError, naming the file, where it cannot be read, would run something, or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}: there is no such file")
    if is_safetensors(path):
        raise InputError(
            f"{path} cannot be read as a checkpoint: it is safetensors, and torch.save writes none"
        )
    content = read_tensor_file(path, torchscript=False)
    state = unwrapped(content, path)
    for key, value in state.items():
        if type(value) not in (Tensor, torch.nn.Parameter):
            raise InputError(f"{path} holds no state dict: {key[:80]!r} is no tensor")
    check_sizes(state, path)
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    return Checkpoint(in_float32(state), epoch if type(epoch) is int else None)
