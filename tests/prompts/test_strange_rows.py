"""Rows and files of a version that nobody's program writes: refused in a sentence with the line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dfer_prompts
from dfer_prompts.description_set import DescriptionSet, Descriptor
from dfer_prompts.errors import InputError
from dfer_prompts.versions.store import DescriptionStore
from dfer_prompts.workspace import Workspace, shipped


@pytest.fixture
def version() -> Path:
    folder = Path("descriptions/v2")
    shutil.copytree(shipped("descriptions") / "v1", folder)
    return folder


def with_value(key: str, value: str) -> Callable[[str], str]:
    """The row with the JSON `value` in the place of what `key` has."""

    def change(line: str) -> str:
        row = json.loads(line)
        return line.replace(f'"{key}": {json.dumps(row[key])}', f'"{key}": {value}')

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_value("support", "-1"), "support: Input should be greater than or equal to 0"),
        (with_value("support", "1" + "0" * 26), "support: Input should be less than or equal to 2147483647"),
        (with_value("samples", "-3"), "samples: Input should be greater than or equal to 0"),
        (with_value("samples", "1" + "0" * 26), "samples: Input should be less than or equal to"),
        (with_value("rank", "1" + "0" * 26), "rank: Input should be less than or equal to"),
        (with_value("member", "-1"), "member: Input should be greater than or equal to 0"),
        (with_value("label", "1e400"), "label: "),
        (with_value("support", "9" * 5000), "is not a JSON object: "),
        (with_value("support", "NaN"), "is not a JSON object: NaN is not a JSON number"),
        (lambda line: '{"descriptor": "tears", ' + line[1:], "duplicate key 'descriptor'"),
        (lambda _: "[" * 100_000, "is not a JSON object: nested too deeply"),
    ],
)
def test_an_invalid_row_is_named(version: Path, change: Callable[[str], str], says: str) -> None:
    path = version / "descriptors.jsonl"
    first, rest = path.read_text(encoding="utf-8").split("\n", 1)
    assert change(first) != first
    path.write_text(f"{change(first)}\n{rest}", encoding="utf-8")
    with pytest.raises(InputError) as error:
        dfer_prompts.load("v2")
    assert str(error.value).startswith(f"{path.absolute()}, line 1") or str(error.value).startswith(
        f"{path}, line 1"
    )
    assert says in str(error.value)


@pytest.mark.parametrize(
    "counts", [{"support": -1}, {"support": 2**31}, {"samples": -1}, {"samples": 10**26}]
)
def test_invalid_counts_are_refused(counts: dict[str, Any]) -> None:
    v1 = dfer_prompts.load("v1")
    members = {**v1.members, v1.class_names[0]: ((Descriptor("a smile", 1, **counts),),)}
    with pytest.raises(
        InputError, match=r"'a smile' has support -?\d+ of -?\d+ samples; both are counts from 0"
    ):
        DescriptionSet("", v1.class_names, members, v1.manifest)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no new folder, whoever asks")
def test_a_read_only_folder_is_named_and_not_its_temporary_one() -> None:
    Path("descriptions").symlink_to("/proc")
    store = DescriptionStore(Workspace(Path()))
    with pytest.raises(OSError) as error:  # noqa: PT011 - which error it is, is the operating system's
        store.save(dfer_prompts.load("v1"), "v2")
    assert str(error.value).endswith(": descriptions/v2")
