"""The Arrow file of some clips. It needs Arrow alone: packing processes start without datasets or torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dfer_model.data.class_names import composed
from dfer_model.errors import InputError

# Arrow's 32-bit offsets end at 2 GiB a batch, and a batch is what a writer holds in memory.
BATCH_BYTES = 32 << 20
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("class_name", pa.string()),
        ("label", pa.int64()),
        ("fold", pa.int32()),
        ("num_frames", pa.int32()),
        ("source", pa.string()),
        ("frames", pa.list_(pa.binary())),
    ]
)


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Write one Arrow file of clips (rows as `write_packed` takes them) at `path`, flushed to the disk."""
    labels = {composed(name): label for label, name in enumerate(class_names)}
    with path.open("wb") as stream:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            batch: list[dict[str, Any]] = []
            held = 0
            for row in rows:
                complete = _complete(row, labels, class_names)
                batch.append(complete)
                held += sum(map(len, complete["frames"]))
                if held >= BATCH_BYTES:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
                    batch, held = [], 0
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
        stream.flush()
        os.fsync(stream.fileno())


def _complete(row: Mapping[str, Any], labels: Mapping[str, int], names: Sequence[str]) -> dict[str, Any]:
    """The row with its label and number of frames. Raises InputError for an unknown class or no frame."""
    frames = list(row["frames"])
    label = labels.get(composed(row["class_name"]))
    if label is None:
        raise InputError(f"clip {row['clip_id']}: {row['class_name']!r} is none of {', '.join(names)}")
    if not frames:
        raise InputError(f"clip {row['clip_id']} has no frame")
    return {
        "clip_id": str(row["clip_id"]),
        "class_name": names[label],
        "label": label,
        "fold": int(row["fold"]),
        "num_frames": len(frames),
        "source": str(row["source"]),
        "frames": frames,
    }
