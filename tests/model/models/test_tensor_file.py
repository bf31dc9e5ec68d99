"""Small files that would take much memory or time, and files that are no weights: refused in a sentence.

Each is tried as a checkpoint to import and as the weights of a CLIP.
"""

from __future__ import annotations

import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_model.errors import InputError
from dfer_model.exchange.released_checkpoint import read_checkpoint
from dfer_model.models.clip_weights import read_weights

STATE = {"state_dict": {"a": torch.ones(2000)}}
READERS = {"checkpoint": read_checkpoint, "weights": read_weights}


def saved(path: Path, content: object = STATE, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def with_entries(path: Path, change: Callable[[str, bytes], bytes], compression: int) -> None:
    """The archive at `path` once more, its entries changed and stored in another way."""
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, data in entries.items():
            target.writestr(name, change(name, data))


def compressed(path: Path) -> None:
    saved(path)
    with_entries(path, lambda _, data: data, zipfile.ZIP_DEFLATED)


def one_entry_as_many(path: Path) -> None:
    """The directory lists the numbers of the one tensor a hundred times under other names."""
    saved(path)
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack("<HII", content[end + 10 : end + 20])
    with zipfile.ZipFile(path) as archive:
        entry = next(each for each in archive.infolist() if each.filename.endswith("/data/0"))
    name = entry.filename.encode()
    header = content.rindex(b"PK\x01\x02", 0, content.rindex(name, start, end))
    length = 46 + sum(struct.unpack("<HHH", content[header + 28 : header + 34]))
    original = content[header : header + length]
    more = b"".join(original.replace(name, name[:-2] + b"%02d" % number) for number in range(100))
    ending = struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, count + 100, count + 100, size + len(more), start, 0
    )
    path.write_bytes(content[: start + size] + more + ending)


def shared_numbers(path: Path) -> None:
    numbers = torch.ones(50_000, dtype=torch.bfloat16)
    saved(path, {f"layer{number}.weight": numbers for number in range(50)})


def exponential(path: Path, *, end: bytes) -> None:
    """A pickle of a few hundred bytes with tuples of twice the same tuple, thirty deep, then `end`."""
    doubled = b"".join(
        b"h%c\x86q%c0" % (n, n + 1) if n == 0 else b"h%ch%c\x86q%c0" % (n, n, n + 1) for n in range(1, 31)
    )
    program = b"\x80\x02)q\x010" + doubled + end
    saved(path)
    with_entries(path, lambda name, data: program if name.endswith("data.pkl") else data, zipfile.ZIP_STORED)


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "compressed entries": (compressed, "has compressed entries"),
    "one entry under many names": (one_entry_as_many, "its entries are larger together than the file"),
    "numbers that all tensors share": (shared_numbers, "its tensors share storage"),
    "a key of nested tuples": (
        lambda path: exponential(path, end=b"}h\x1fK\x01s."),
        "its values are nested in each other too often",
    ),
    "nested tuples in a set": (
        lambda path: exponential(path, end=b"cbuiltins\nset\n]h\x1fa\x85R."),
        "its values are nested in each other too often",
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", BOMBS)
def test_a_small_file_with_large_tensors_is_refused(tmp_path: Path, case: str, reader: str) -> None:
    make, says = BOMBS[case]
    make(tmp_path / "m.pth")
    with pytest.raises(InputError, match=says):
        READERS[reader](tmp_path / "m.pth")


@pytest.mark.parametrize("reader", READERS)
def test_a_legacy_pickle_of_nested_tuples_is_refused(tmp_path: Path, reader: str) -> None:
    exponential(tmp_path / "m.pth", end=b"}h\x1fK\x01s.")
    with zipfile.ZipFile(tmp_path / "m.pth") as archive:
        program = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    legacy = saved(tmp_path / "legacy.pth", _use_new_zipfile_serialization=False).read_bytes()
    begins = legacy.index(b"state_dict") - len(b"\x80\x02}q\x00X\n\x00\x00\x00")
    (tmp_path / "legacy.pth").write_bytes(legacy[:begins] + program)
    with pytest.raises(InputError, match="its values are nested in each other too often"):
        READERS[reader](tmp_path / "legacy.pth")


@pytest.mark.parametrize("reader", READERS)
def test_usual_objects_beside_weights_are_accepted(tmp_path: Path, reader: str) -> None:
    shared = torch.ones(500)
    content = {
        "state_dict": {"a": shared, "b": shared, "c": shared.view(20, 25)},
        "optimizer": {
            "state": {n: {"step": n} for n in range(3000)},
            "groups": [{"betas": (0.9, 0.999)}] * 50,
        },
        "python": random.getstate(),
        "names": [tuple(f"clip {n}" for n in range(5000))] * 3,
    }
    tensors = READERS[reader](saved(tmp_path / "m.pth", content)).tensors
    assert {name: tensor.sum().item() for name, tensor in tensors.items()} == {"a": 500, "b": 500, "c": 500}


OTHER_FILES = {
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 605143316\n",
        "is a Git LFS pointer of 134 bytes, not the file itself\nFetch the file: run `git lfs pull`",
    ),
    "a page": (
        b"\n<!DOCTYPE html>\n<html><body>Log in</body></html>",
        "is a web page .HTML, 49 bytes., not weights",
    ),
    "an error": (b"<?xml version='1.0'?><Error>denied</Error>", "is XML .42 bytes., not weights"),
    "an index": (b'{"metadata": {}, "weight_map": {}}', "is JSON text .34 bytes., not weights"),
    "nothing": (b"", "is damaged: it is empty"),
}


@pytest.mark.parametrize("name", ["m.pth", "model.safetensors"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_without_weights_is_named(tmp_path: Path, case: str, reader: str, name: str) -> None:
    content, says = OTHER_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} {says}"):
        READERS[reader](tmp_path / name)


def test_a_whole_model_object_is_told_from_a_state_dict(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(pickle.dumps(1))
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "m.pth")
    with pytest.raises(
        InputError, match="one whole Python object, which is never loaded: save its state_dict"
    ):
        read_checkpoint(tmp_path / "m.pth")
