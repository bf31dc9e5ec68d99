"""Reading files of `torch.save` or `torch.jit.save` without executing them, within limits of their size.

Training scripts save more than tensors: their own objects, numpy arrays. torch's weights-only reader rejects
such files. Here every class and function in the file that this reader does not know is replaced by the same
inert class, whose objects accept anything and store nothing. The name is never resolved: nothing is imported
or called. `pickletools` lists the names. What torch's reader blocks (`os`, `sys`) stays blocked.

A small file must not take much memory or time either. torch stores the entries of its archives uncompressed,
so an archive with a compressed entry, or with entries larger in total than the file, is rejected. So is a
pickle whose values contain each other so often that hashing them takes long.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch import Tensor

from dfer_model.errors import InputError
from dfer_model.io import refuse_other_kinds

EXPANDED = 4  # limit of the tensors' total size as a multiple of the file's; tensors may share storage
_LEGACY_PICKLES = 5  # before torch 1.6: magic number, version, system, the object, keys of its storages
_ZIP = b"PK\x03\x04"  # by which torch knows its archives
_FREE_WORK = 1_000_000  # values
_WORK_PER_OPCODE = 100  # values
_MOST_MODULES = 100_000
_MASK = "attn_mask"  # the causal mask in a TorchScript archive, which is not a weight


class Inert:
    """Placeholder for an object of any class: accepts any arguments and attributes, does nothing."""

    def __new__(cls, *_args: object, **_named: object) -> Self:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict) and all(isinstance(key, str) for key in state):
            self.__dict__.update(state)


def read_tensor_file(path: Path, *, torchscript: bool = True) -> Any:
    """The content of the file, objects of other classes than torch's as `Inert`; of TorchScript the tensors.

    Raises InputError with the file's name if it cannot be read, would execute something, takes far more
    memory or time than its size suggests, or is unexpectedly TorchScript.
    """
    refuse_other_kinds(path)
    try:
        if not _is_zip(path):
            with path.open("rb") as stream:
                names = {name for _ in range(_LEGACY_PICKLES) for name in _names_in(stream, path)}
            return _loaded(path, names)
        with zipfile.ZipFile(path) as archive:
            if _is_torchscript(archive):
                if not torchscript:
                    raise InputError(f"{path} cannot be read as a checkpoint: it is a TorchScript archive")
                _check_entries(archive, path, _data_of(archive))
                return _torchscript_tensors(archive, path)
            _check_entries(archive, path, archive.namelist())
            names = _names_in_archive(archive, path)
        return _loaded(path, names)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged or hostile file makes torch raise nearly anything
        raise InputError(_refusal(path, error)) from None


def is_safetensors(path: Path) -> bool:
    """Whether a file of any name begins like safetensors: the length of a header, then `{`."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def check_sizes(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError for a tensor whose values are not all in the file, or for too large a total size.

    Tensors with shared storage are stored once in the file, but later each gets memory of its own.
    """
    for key, value in tensors.items():
        if not _is_plain(value):
            raise InputError(f"{path} cannot be read: {key[:80]!r} has fewer values than its shape requires")
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > EXPANDED * path.stat().st_size:
        raise InputError(
            f"{path} cannot be read: its tensors share storage and take {claimed / 2**20:.0f} MiB, "
            f"more than {EXPANDED} times the file"
        )


def in_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, floating ones in float32; tensors that are identical in the file stay identical."""
    made: dict[Any, Tensor] = {}
    for value in tensors.values():
        if _place(value) not in made:
            made[_place(value)] = value.detach().float() if value.is_floating_point() else value
    return {key: made[_place(value)] for key, value in tensors.items()}


def _place(value: Tensor) -> tuple[Any, ...]:
    """A key that is equal for tensors with the same values in the same memory."""
    return (value.data_ptr(), value.dtype, tuple(value.shape), value.stride())


def _is_torchscript(archive: zipfile.ZipFile) -> bool:
    """Whether an archive of torch contains a program (`torch.jit.save`) and not only data."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_ZIP)) == _ZIP


def _data_of(archive: zipfile.ZipFile) -> list[str]:
    """The entries of a TorchScript archive that are read, without its code, which is compressed."""
    return [
        name
        for name in archive.namelist()
        if "/code/" not in name and not name.endswith(("/constants.pkl", ".debug_pkl"))
    ]


def _check_entries(archive: zipfile.ZipFile, path: Path, names: list[str]) -> None:
    """torch reads each entry whole, so the entries must be uncompressed and not overlap."""
    read = set(names)
    entries = [entry for entry in archive.infolist() if entry.filename in read]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(f"{path} cannot be read: it has compressed entries, and torch writes none")
    if sum(max(entry.file_size, entry.compress_size) for entry in entries) > path.stat().st_size:
        raise InputError(f"{path} cannot be read: its entries are larger together than the file")


def _loaded(source: Path | IO[bytes], names: set[str]) -> Any:
    stand_ins: list[Any] = [(Inert, name) for name in sorted(names)]
    with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings(action="ignore"):
        return torch.load(source, map_location="cpu", weights_only=True)


def _refusal(path: Path, error: Exception) -> str:
    if "is blocked" in str(error):
        return (
            f"{path} holds Python objects and would run a program of its own: they are never loaded\n"
            "Save its state dict alone, or convert it to safetensors, and give that file"
        )
    return (
        f"{path} cannot be read as a checkpoint; it is damaged, or torch.save did not write it\n"
        "Give the whole file, as it was released"
    )


def _names_in_archive(archive: zipfile.ZipFile, path: Path) -> set[str]:
    """The dotted names of all classes and functions that the pickles of an archive mention."""
    found: set[str] = set()
    for name in archive.namelist():
        if name.rpartition("/")[2] == "data.pkl":
            with archive.open(name) as stream:
                found |= set(_names_in(stream, path))
    return found


def _names_in(stream: IO[bytes], path: Path) -> Iterator[str]:
    """The names in the next pickle of `stream`, which is left at its end; Python 2's in both their forms.

    Raises InputError if values contain each other so often that hashing them would take long.
    """
    work = _Work()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        work.do(opcode, argument)
        if work.done > _FREE_WORK + _WORK_PER_OPCODE * count:
            raise InputError(f"{path} cannot be read: its values are nested in each other too often")
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield f"{module}.{name}"
            yield ".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))


class _Work:
    """The number of steps to visit every value that a pickle puts into another.

    Simulates the stack of the pickle machine with a size in place of each value: the number of values in it,
    where values of nested tuples count once per occurrence. A size is a list with one number, because a
    growing container is the same object in the memo.
    """

    def __init__(self) -> None:
        self.done = 0
        self._stack: list[list[int] | None] = []  # None: a mark
        self._memo: dict[Any, list[int]] = {}

    def do(self, opcode: Any, argument: Any) -> None:
        """Apply an opcode to the sizes."""
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            key = len(self._memo) if argument is None else argument
            self._memo[int(key)] = self._top()
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo.get(int(argument), [1]))
        elif opcode.name == "MARK":
            self._stack.append(None)
        elif opcode.name in _GROWS:
            size = self._taken(opcode)
            self._top()[0] += size
        else:
            size = self._taken(opcode)
            self._stack.extend([1 + size] for _ in opcode.stack_after)

    def _top(self) -> list[int]:
        top = self._stack[-1] if self._stack else None
        return [1] if top is None else top

    def _taken(self, opcode: Any) -> int:
        """Pop the opcode's arguments, except the container that it adds to; return their sizes."""
        before = opcode.stack_before
        size = 0
        if pickletools.markobject in before:
            while self._stack and (top := self._stack.pop()) is not None:
                size += top[0]
            extra = 0  # below the mark is only the container
        else:
            extra = len(before) - (opcode.name in _GROWS)
        for _ in range(extra):
            top = self._stack.pop() if self._stack else None
            size += top[0] if top is not None else 0
        self.done += size
        return size


_GROWS = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def _torchscript_tensors(archive: zipfile.ZipFile, path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript archive, under their names in its modules.

    Its data is pickled as by torch.save, but torch does not read it if `constants.pkl` marks it as
    TorchScript. Therefore a copy in memory without this mark and the code is read.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as target:
        for name in _data_of(archive):
            target.writestr(name, archive.read(name))
    names = _names_in_archive(archive, path)
    copy.seek(0)
    found: dict[str, Tensor] = {}
    left: list[tuple[str, Any]] = [("", _loaded(copy, names))]
    for _ in range(_MOST_MODULES):
        if not left:
            return found
        prefix, module = left.pop()
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and name != _MASK:
                found[prefix + name] = value
            elif isinstance(value, Inert):
                left.append((f"{prefix}{name}.", value))
    raise InputError(f"{path} cannot be read: it has more than {_MOST_MODULES} nested modules")


def _is_plain(value: Tensor) -> bool:
    """Whether all values of a tensor are in the file: not `meta`, sparse, quantized or an expanded view."""
    if (
        value.layout != torch.strided
        or value.device.type != "cpu"
        or value.is_quantized
        or value.is_complex()
    ):
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
