"""Reading what another program saved with `torch.save`, running nothing of it.

A training script saves more than tensors: DFER-CLIP's released files hold an object of the script's own
class, with numpy arrays. torch's weights-only reader refuses a file for that. Here every class and function
that the file names, and that reader does not know, is the same inert class: calling it makes an object that
takes anything and keeps nothing. What the name means is never looked up: nothing is imported or called. Names
are found by `pickletools`, which only lists. What that reader blocks (`os`, `sys`) stays blocked.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import torch
from torch import Tensor

from ..errors import InputError

_LEGACY_PICKLES = 5  # before torch 1.6: magic number, version, system, the object, keys of its storages


class Checkpoint(NamedTuple):
    """The tensors of a file, floating ones in float32, without `module.`; and the epoch it says it is of."""

    tensors: dict[str, Tensor]
    epoch: int | None


class _Inert:
    """Stands for whatever a file names: made of anything, holding nothing, doing nothing."""

    def __new__(cls, *_args: object, **_named: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def read_checkpoint(path: Path) -> Checkpoint:
    """The state dict in `path`: the file's `state_dict`, or the file itself where it is one.

    Raises InputError, naming the file, where it cannot be read, would run something, or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}: there is no such file")
    try:
        stand_ins: list[Any] = [(_Inert, name) for name in sorted(_named(path))]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged or hostile file makes torch raise nearly anything
        raise InputError(_refusal(path, error)) from None
    return _checkpoint(content, path)


def _refusal(path: Path, error: Exception) -> str:
    if "is blocked" in str(error):
        return f"{path} would run a program of its own when it is loaded: it is not imported"
    return (
        f"{path} cannot be read as a checkpoint; it is damaged, or torch.save did not write it\n"
        "Give the whole file, as it was released"
    )


def _named(path: Path) -> set[str]:
    """The dotted names of all classes and functions that the pickles in `path` mention."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            return {name for _ in range(_LEGACY_PICKLES) for name in _names_in(stream)}
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        found: set[str] = set()
        for name in pickles:
            with archive.open(name) as stream:
                found |= set(_names_in(stream))
    return found


def _names_in(stream: IO[bytes]) -> Iterator[str]:
    """The names in the next pickle of `stream`, which is left at its end; Python 2's in both their forms."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield f"{module}.{name}"
            yield ".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))


def _is_plain(value: Tensor) -> bool:
    """Whether every number of a tensor is in the file: not `meta`, sparse, quantized or a wide view."""
    if (
        value.layout != torch.strided
        or value.device.type != "cpu"
        or value.is_quantized
        or value.is_complex()
    ):
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _checkpoint(content: Any, path: Path) -> Checkpoint:
    beside = content if isinstance(content, Mapping) else {}
    state = beside.get("state_dict", content)
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path} holds no state dict: no tensors by name")
    for key, value in state.items():
        if not isinstance(key, str) or type(value) not in (Tensor, torch.nn.Parameter):
            raise InputError(f"{path} holds no state dict: {str(key)[:80]!r} is no tensor")
        if not _is_plain(value):
            raise InputError(
                f"{path} cannot be imported: {key[:80]!r} does not hold all the numbers it claims"
            )
    tensors = {
        key.removeprefix("module."): value.detach().float() if value.is_floating_point() else value
        for key, value in state.items()
    }
    epoch = beside.get("epoch")
    return Checkpoint(tensors, epoch if type(epoch) is int else None)
