"""Checks of packed clips from any source. Each check raises ValueError with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from dfer_model.io import read_json

Integers = npt.NDArray[np.int64]

_TEXTS, _NUMBERS = ("clip_id", "class_name", "source"), ("label", "fold", "num_frames")
COLUMNS = ("clip_id", "class_name", "label", "fold", "num_frames", "source", "frames")
_KINDS = {dict: "an object", list: "a list", int: "a number"}


def check_shard_name(name: object) -> str:
    """The plain name of a file; names that may lead out of the folder are an error."""
    if not isinstance(name, str) or name in ("", ".", "..") or any(each in name for each in "/\\\0"):
        raise ValueError(f"it names the file {name!r}, which is not in its folder")
    return name


def read_shard_names(folder: Path) -> list[str]:
    """The names of the Arrow files of a folder that `datasets` saved, in order, from its state.json."""
    state = read_json(folder / "state.json")
    files = state.get("_data_files") if isinstance(state, dict) else None
    if not isinstance(files, list) or not files:
        raise ValueError("state.json names no files")
    names = [check_shard_name(each.get("filename") if isinstance(each, dict) else None) for each in files]
    for name in names:
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
    return names


def read_class_names(folder: Path) -> tuple[str, ...]:
    """The class names in label order, from the dataset_info.json of `datasets`; () without any."""
    info = read_json(folder / "dataset_info.json")
    for key in ("features", "label"):
        info = info.get(key) if isinstance(info, dict) else None
    if not isinstance(info, dict) or info.get("_type") != "ClassLabel":
        return ()
    names = info.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("dataset_info.json has class names that are no text")
    if len(set(names)) < len(names):
        raise ValueError("dataset_info.json names a class twice")
    return tuple(names)


def read_batches(path: Path) -> list[pa.RecordBatch]:
    """The batches of an Arrow file, memory-mapped and checked for values out of bounds.

    Raises ArrowException for a damaged file. Only the offsets of frames are read.
    """
    with pa.memory_map(str(path)) as source:
        batches = list(pa.ipc.open_stream(source))
    for batch in batches:
        for name in COLUMNS:
            if name in batch.schema.names:
                batch.column(name).validate(full=True)
    return batches


def missing_columns(table: pa.Table) -> list[str]:
    """The columns of packed clips that the table lacks."""
    return [name for name in COLUMNS if name not in table.column_names]


def check_table(table: pa.Table, class_names: Sequence[str]) -> None:
    """Reject packed clips whose columns have wrong types or nulls, or contradict each other.

    Only the offsets of frames are read.
    """
    for name in COLUMNS:
        if not _of_kind(name, table[name].type):
            raise ValueError(f"its column {name} has the type {table[name].type}")
        if table[name].null_count:
            raise ValueError(f"its column {name} has {table[name].null_count} missing values")
    lengths = []
    for lists in table["frames"].chunks:
        if lists.flatten().null_count:
            raise ValueError("a frame is missing")
        lengths.append(pc.list_value_length(lists))
    labels, folds, counts = (integers(table[name]) for name in _NUMBERS)
    clip_ids, given = table["clip_id"].to_pylist(), table["class_name"].to_pylist()
    check_clips(class_names, clip_ids, labels, folds, counts)
    for clip_id, label, name in zip(clip_ids, labels.tolist(), given, strict=True):
        if class_names[label] != name:
            raise ValueError(f"clip {clip_id!r} of class {name!r} has the label of {class_names[label]!r}")
    for place in np.flatnonzero(integers(pa.chunked_array(lengths)) != counts)[:1].tolist():
        raise ValueError(f"clip {clip_ids[place]!r} has a number of frames that differs from num_frames")


def integers(column: pa.ChunkedArray) -> Integers:
    """The values of an integer column without nulls.

    Arrow's own `to_numpy` would import pandas.
    """
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    return np.concatenate(chunks).astype(np.int64) if chunks else np.zeros(0, np.int64)


def _of_kind(name: str, kind: pa.DataType) -> bool:
    if name in _TEXTS:
        return bool(types.is_string(kind) or types.is_large_string(kind))
    if name in _NUMBERS:
        return bool(types.is_integer(kind))
    is_list = types.is_list(kind) or types.is_large_list(kind)
    return bool(is_list and (types.is_binary(kind.value_type) or types.is_large_binary(kind.value_type)))


def check_clips(
    class_names: Sequence[str], clip_ids: Sequence[str], labels: Integers, folds: Integers, counts: Integers
) -> None:
    """Reject labels without a class, duplicate ids, clips without frames, and negative folds."""
    if not len(clip_ids):
        raise ValueError("it holds no clip")
    if len(set(clip_ids)) < len(clip_ids):
        seen: set[str] = set()
        twice = next(each for each in clip_ids if each in seen or seen.add(each))  # type: ignore[func-returns-value]
        raise ValueError(f"the clip id {twice!r} occurs twice")
    for what, values, wrong in (
        ("label", labels, (labels < 0) | (labels >= len(class_names))),
        ("fold", folds, folds < 0),
        ("num_frames", counts, counts < 1),
    ):
        for place in np.flatnonzero(wrong)[:1].tolist():
            raise ValueError(f"clip {clip_ids[place]!r} has the {what} {values[place]}")


def check_report(report: object) -> dict[str, Any]:
    """The content of prepare.json. Rejects wrong types of values that this package reads."""
    if not isinstance(report, dict):
        raise ValueError("its report is not an object")
    kinds = (("skipped", list), ("no_face", list), ("notes", list), ("frame_count_disagreements", dict))
    for key, kind in (*kinds, ("shards", dict)):
        if not isinstance(report.get(key) or kind(), kind):
            raise ValueError(f"its {key} is not {_KINDS[kind]}")
    if report.get("votes") and not isinstance(report["votes"], dict):
        raise ValueError("its votes is not an object")
    if report.get("votes") and not isinstance(report["votes"].get("sha256"), str):
        raise ValueError("its votes have no sha256")
    if not isinstance((report.get("frame_count_disagreements") or {}).get("count", 0), int):
        raise ValueError("the count of its frame_count_disagreements is not a number")
    return report
