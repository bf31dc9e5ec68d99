"""The index beside packed clips: all that is known of them without a frame, for a reader from far away.

One small Parquet file. A stream of shards gives its clips one after another; what a training must know before
the first frame comes (labels, folds, which shard holds what, the fingerprint) is here.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError
from ..files import replacing

if TYPE_CHECKING:
    from .packed import PackedClips

INDEX_NAME = "index.parquet"
_KEY = b"packed_clips"
_COLUMNS = ("clip_id", "source", "label", "fold", "num_frames", "shard")
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """What an index says: a value per clip, in the order of the packed clips, and what holds for all."""

    class_names: tuple[str, ...]
    clip_ids: list[str]
    sources: list[str]
    labels: Integers
    folds: Integers
    num_frames: Integers
    shards: Integers  # which of `shard_names` holds the clip; ascending, and in a shard in this order
    shard_names: tuple[str, ...]
    fingerprint: str
    report: dict[str, Any]


def write_index(clips: PackedClips) -> Path:
    """Write the index of packed clips on this machine into their folder, and return its path."""
    folder = Path(clips.path)
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    names = [each["filename"] for each in state["_data_files"]]
    counts = [_rows(folder / name) for name in names]
    shaping = {
        "class_names": clips.class_names,
        "shard_names": names,
        "fingerprint": clips.fingerprint,
        "report": clips.report,
    }
    table = pa.table(
        {
            "clip_id": pa.array(clips.clip_ids, pa.string()),
            "source": pa.array(clips.sources, pa.string()),
            "label": pa.array(clips.labels, pa.int64()),
            "fold": pa.array(clips.folds, pa.int64()),
            "num_frames": pa.array(clips.num_frames, pa.int64()),
            "shard": pa.array(np.repeat(np.arange(len(names)), counts), pa.int64()),
        }
    ).replace_schema_metadata({_KEY: json.dumps(shaping, ensure_ascii=False).encode()})
    path = folder / INDEX_NAME
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
    return path


def read_index(place: Path | str) -> Index:
    """The index of the packed clips at `place`, a folder or a URL that fsspec knows (`hf://`, `s3://`).

    Raises InputError when there is none, when it cannot be reached, and when it is damaged.
    """
    path = f"{place}/{INDEX_NAME}"
    content = _content(path)
    try:
        table = pq.read_table(io.BytesIO(content), columns=list(_COLUMNS))
        shaping = json.loads(table.schema.metadata[_KEY])
        columns = {name: table[name].to_numpy().astype(np.int64) for name in _COLUMNS[2:]}
        return Index(
            class_names=tuple(shaping["class_names"]),
            clip_ids=table["clip_id"].to_pylist(),
            sources=table["source"].to_pylist(),
            labels=columns["label"],
            folds=columns["fold"],
            num_frames=columns["num_frames"],
            shards=columns["shard"],
            shard_names=tuple(shaping["shard_names"]),
            fingerprint=str(shaping["fingerprint"]),
            report=dict(shaping["report"]),
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no index of packed clips: {_line(error)}\n"
            "Make it again where they are: dfer-prompts data index DIR"
        ) from error


def _content(path: str) -> bytes:
    try:
        with fsspec.open(path) as stream:
            content: bytes = stream.read()
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}\nMake it where the packed clips are: dfer-prompts data index DIR"
        ) from error
    except Exception as error:  # every kind of store has errors of its own
        raise InputError(
            f"{path} cannot be read: {_line(error)}\nLook at the address, the network and your credentials"
        ) from error
    return content


def _rows(shard: Path) -> int:
    with pa.memory_map(str(shard)) as source:
        return sum(batch.num_rows for batch in pa.ipc.open_stream(source))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
