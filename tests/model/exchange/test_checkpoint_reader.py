"""Untrusted checkpoint files: no call in them is executed; each is read or refused with an error."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_model.errors import InputError
from dfer_model.exchange.released_checkpoint import read_checkpoint


class Calls:
    """Unpickled by the careless, it calls `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def nested(code: str) -> dict[str, Any]:
    return {"state": [{"deep": (Calls(eval, code),)}]}


PICKLED: dict[str, Callable[[str], Any]] = {
    "os.system": lambda code: Calls(os.system, f'python3 -c "{code}"'),
    "eval": lambda code: Calls(eval, code),
    "exec": lambda code: Calls(exec, code),
    "nested": nested,
    "dictionary key": lambda code: {Calls(eval, code): 1},
    "called by what is called": lambda code: Calls(map, Calls(eval, code)),
}
# By hand, what pickle itself would not write; CODE stands for the program.
OPCODES = {
    "REDUCE": b"cbuiltins\neval\n(VCODE\ntR.",
    "INST": b"(VCODE\nibuiltins\neval\n.",
    "OBJ": b"(cbuiltins\neval\nVCODE\no.",
    "STACK_GLOBAL": b"\x80\x04Vbuiltins\nVeval\n\x93(VCODE\ntR.",
    "Python 2's name": b"c__builtin__\neval\n(VCODE\ntR.",
    "NEWOBJ": b"\x80\x02cbuiltins\nlist\ncbuiltins\nmap\n(cbuiltins\neval\n(VCODE\nlt\x81\x85R.",
    "BUILD": b"cbuiltins\neval\n(VCODE\ntR}V__setstate__\ncbuiltins\neval\nsb.",
    "persistent id": b"\x80\x02cbuiltins\neval\n(VCODE\ntRQ.",
}


class Careless(pickle.Unpickler):
    """Unpickles all that it is given."""

    def persistent_load(self, _key: object) -> None:
        return None


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-was-called"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("case", PICKLED)
def test_calls_in_a_pickle_are_not_executed(tmp_path: Path, marker: Path, case: str, legacy: bool) -> None:
    program = f"open('{marker}', 'w').close()"
    content = {"state_dict": {"a.weight": torch.ones(2)}, "recorder": PICKLED[case](program)}
    torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=not legacy)
    if case == "os.system":
        with pytest.raises(InputError, match="would run a program of its own"):
            read_checkpoint(tmp_path / "m.pth")
    else:
        assert read_checkpoint(tmp_path / "m.pth").tensors["a.weight"].tolist() == [1, 1]
    assert not marker.exists()


def test_a_call_in_place_of_a_tensor_is_refused(tmp_path: Path, marker: Path) -> None:
    torch.save({"state_dict": {"a": Calls(eval, f"open('{marker}', 'w').close()")}}, tmp_path / "m.pth")
    with pytest.raises(InputError, match="'a' is not a tensor"):
        read_checkpoint(tmp_path / "m.pth")
    assert not marker.exists()


@pytest.mark.parametrize("case", OPCODES)
def test_no_opcode_calls(tmp_path: Path, marker: Path, case: str) -> None:
    program = OPCODES[case].replace(b"CODE", f"open('{marker}', 'w').close()".encode())
    good = tmp_path / "good.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(tmp_path / "m.pth", "w") as target:
        for name in source.namelist():
            target.writestr(name, program if name.endswith("data.pkl") else source.read(name))
    (tmp_path / "legacy.pth").write_bytes(program)
    for name in ("m.pth", "legacy.pth"):
        with pytest.raises(InputError):
            read_checkpoint(tmp_path / name)
        assert not marker.exists()
    with contextlib.suppress(AttributeError):  # BUILD then finds nothing to build
        Careless(io.BytesIO(program)).load()
    assert marker.exists()  # the program was a live one


def test_tensors_beside_a_call_are_read(tmp_path: Path, marker: Path) -> None:
    program = f"open('{marker}', 'w').close()"
    path = tmp_path / "m.pth"
    torch.save(
        {"state_dict": {"module.a": torch.ones(2).half()}, "x": Calls(eval, program), "epoch": 3}, path
    )
    tensors, epoch = read_checkpoint(path)
    assert not marker.exists()
    assert (tensors["a"].tolist(), tensors["a"].dtype, epoch) == ([1.0, 1.0], torch.float32, 3)
    torch.load(path, weights_only=False)
    assert marker.exists()  # the program was a live one


def damaged(tmp_path: Path) -> dict[str, bytes]:
    path = tmp_path / "whole.pth"
    torch.save({"state_dict": {"a": torch.ones(2000)}}, path)
    content = path.read_bytes()
    old = tmp_path / "old.pth"
    torch.save({"state_dict": {"a": torch.ones(2000)}}, old, _use_new_zipfile_serialization=False)
    return {
        "truncated": content[: len(content) // 2],
        "legacy, truncated": old.read_bytes()[:-1000],
        "legacy, in the pickle": old.read_bytes()[:80],
        "text": b"these are not the weights\n",
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(50),
    }


@pytest.mark.parametrize(
    "case", ["truncated", "legacy, truncated", "legacy, in the pickle", "text", "an image"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(damaged(tmp_path)[case])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "(holds|has) no state dict"),
        ([torch.ones(1)], "(holds|has) no state dict"),
        ({"state_dict": {"a": 1}}, "'a' is not a tensor"),
        ({"state_dict": {1: torch.ones(1)}}, "'1' is (no|not a) tensor"),
        ({"state_dict": {"a": Path("x")}}, "'a' is not a tensor"),
    ],
)
def test_a_file_without_tensors_by_name_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "m.pth")


ODD: dict[str, Callable[[], torch.Tensor]] = {
    "without storage": lambda: torch.empty(3, 2, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "complex": lambda: torch.ones(3, dtype=torch.complex64),
    "a view of terabytes": lambda: torch.ones(1, dtype=torch.half).expand(10**12),
}


@pytest.mark.parametrize("case", ODD)
def test_an_incomplete_tensor_is_refused(tmp_path: Path, case: str) -> None:
    torch.save({"state_dict": {"module.a": ODD[case]()}}, tmp_path / "m.pth")
    with pytest.raises(InputError, match=r"'a' has fewer values than its shape|cannot be read as a check"):
        read_checkpoint(tmp_path / "m.pth")


# What torch's own reader allows, given what it was not made for.
ALLOWED = {
    "a tensor beyond its storage": lambda: Calls(
        torch._utils._rebuild_tensor_v2, torch.ones(1).untyped_storage(), 0, (9,), (1,), False, None
    ),
    "a tensor of a strange type": lambda: Calls(
        torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.Tensor, (), {"__class__": 1}
    ),
    "a codec": lambda: Calls(__import__("_codecs").encode, "a", "zip"),
    "much memory": lambda: Calls(bytearray, 10**15),
    "a dictionary of no pairs": lambda: Calls(__import__("collections").OrderedDict, 7),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_unusual_valid_pickles_are_errors_without_a_traceback(tmp_path: Path, case: str) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}, "x": ALLOWED[case]()}, tmp_path / "m.pth")
    with contextlib.suppress(InputError):
        assert read_checkpoint(tmp_path / "m.pth").tensors["a"].tolist() == [1, 1]


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "m.pth"))
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "m.pth")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pth does not exist"):
        read_checkpoint(tmp_path / "none.pth")
