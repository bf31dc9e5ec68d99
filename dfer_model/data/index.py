"""The index of packed clips: everything except the frames, for streaming.

It is a small Parquet file next to the clips, with what a training needs before the first frame arrives:
labels, folds, the shard of each clip, and the fingerprint.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..digests import read_table, write_table
from ..errors import InputError
from .clip_checks import check_clips, check_report, check_shard_name, integers
from .votes import Floats, checked_votes

INDEX_NAME = "index.parquet"
_KEY = b"packed_clips"
_COLUMNS = ("clip_id", "source", "label", "fold", "num_frames", "shard")
_VOTES = "votes"
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """The content of an index: values per clip, in the order of the packed clips, and common values."""

    class_names: tuple[str, ...]
    clip_ids: list[str]
    sources: list[str]
    labels: Integers
    folds: Integers
    num_frames: Integers
    shards: Integers  # index into `shard_names`; ascending, and in a shard in this order
    shard_names: tuple[str, ...]
    fingerprint: str
    report: dict[str, Any]
    votes: Floats | None = None  # of annotators, (clips, classes)


def write_index_file(path: Path, index: Index) -> None:
    """Write the index to `path`. Raises OSError if it cannot be written."""
    shaping = {
        "class_names": index.class_names,
        "shard_names": index.shard_names,
        "fingerprint": index.fingerprint,
        "report": index.report,
    }
    columns = {
        "clip_id": pa.array(index.clip_ids, pa.string()),
        "source": pa.array(index.sources, pa.string()),
        "label": pa.array(index.labels, pa.int64()),
        "fold": pa.array(index.folds, pa.int64()),
        "num_frames": pa.array(index.num_frames, pa.int64()),
        "shard": pa.array(index.shards, pa.int64()),
    }
    if index.votes is not None:
        columns[_VOTES] = pa.array(list(index.votes), pa.list_(pa.float32()))
    table = pa.table(columns).replace_schema_metadata(
        {_KEY: json.dumps(shaping, ensure_ascii=False).encode()}
    )
    write_table(path, table)


def read_index(place: Path | str) -> Index:
    """The index of the packed clips at `place`, a folder or a URL that fsspec knows (`hf://`, `s3://`).

    Raises InputError if there is none, it cannot be reached, or it is damaged.
    """
    path = f"{place}/{INDEX_NAME}"
    content = _content(path)
    try:
        table = read_table(io.BytesIO(content))
        if any(table[name].null_count for name in _COLUMNS):
            raise ValueError("a value is missing")
        shaping = json.loads(table.schema.metadata[_KEY])
        columns = {name: integers(table[name]) for name in _COLUMNS[2:]}
        index = Index(
            class_names=tuple(shaping["class_names"]),
            clip_ids=table["clip_id"].to_pylist(),
            sources=table["source"].to_pylist(),
            labels=columns["label"],
            folds=columns["fold"],
            num_frames=columns["num_frames"],
            shards=columns["shard"],
            shard_names=tuple(shaping["shard_names"]),
            fingerprint=str(shaping["fingerprint"]),
            report=check_report(shaping["report"]),
            votes=_votes(table, len(shaping["class_names"])),
        )
        check_clips(index.class_names, index.clip_ids, index.labels, index.folds, index.num_frames)
        _check_shards(index)
        return index
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not an index of packed clips: {_line(error)}\n"
            "Create it again where the clips are: dfer-prompts data index DIR"
        ) from error


def _votes(table: pa.Table, classes: int) -> Floats | None:
    """The votes of the clips; None without the column, as in indexes of earlier versions."""
    if _VOTES not in table.column_names:
        return None
    return checked_votes(table[_VOTES].to_pylist(), len(table), classes)


def _check_shards(index: Index) -> None:
    """Raise ValueError for names that lead out of the folder, and for indices without a name."""
    for name in index.shard_names:
        check_shard_name(name)
    shards = index.shards
    if shards[0] < 0 or shards[-1] >= len(index.shard_names) or bool((np.diff(shards) < 0).any()):
        raise ValueError("its shards are not those of its clips")


def _content(path: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(path) as stream:
            content: bytes = stream.read()
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}\nCreate it where the packed clips are: dfer-prompts data index DIR"
        ) from error
    except Exception as error:  # each kind of store has its own errors
        raise InputError(
            f"{path} cannot be read: {_line(error)}\nCheck the address, the network and your credentials"
        ) from error
    return content


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
