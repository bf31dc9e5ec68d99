"""Write packed clips: a HuggingFace dataset of Arrow files, prepare.json and an index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dfer_model.data.clip_checks import read_batches, read_shard_names
from dfer_model.data.index import INDEX_NAME, Index, write_index_file
from dfer_model.data.packed import DIGESTS, REPORT_NAME, PackedClips
from dfer_model.data.shards import write_shard
from dfer_model.data.votes import REPORT_KEY as VOTES
from dfer_model.data.votes import Floats, votes_digest
from dfer_model.digests import file_sha256
from dfer_model.errors import InputError
from dfer_model.io import named_as
from dfer_model.launch import cores

if TYPE_CHECKING:
    import datasets

SHARD_CLIPS = 200
GivenVotes = Callable[[Sequence[str], Sequence[int]], Floats | None]


def features(class_names: Sequence[str]) -> datasets.Features:
    """The columns of packed clips; the class names in label order."""
    # Imported here: reading clips needs only Arrow, and importing datasets takes a second.
    import datasets

    return datasets.Features(
        {
            "clip_id": datasets.Value("string"),
            "class_name": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(class_names)),
            "fold": datasets.Value("int32"),
            "num_frames": datasets.Value("int32"),
            "source": datasets.Value("string"),
            "frames": datasets.List(datasets.Value("binary")),
        }
    )


def write_index(clips: PackedClips, votes: Floats | None = None) -> Path:
    """Write the index of packed clips on this machine into their folder, and return its path.

    `votes` are those of a first index; later ones keep the votes of the previous index.
    """
    folder = Path(clips.path)
    names = read_shard_names(folder)
    counts = [sum(batch.num_rows for batch in read_batches(folder / name)) for name in names]
    index = Index(
        class_names=clips.class_names,
        clip_ids=clips.clip_ids,
        sources=clips.sources,
        labels=clips.labels,
        folds=clips.folds,
        num_frames=clips.num_frames,
        shards=np.repeat(np.arange(len(names)), counts),
        shard_names=tuple(names),
        fingerprint=clips.fingerprint,
        report=clips.report,
        votes=clips.votes if votes is None else votes,
    )
    write_index_file(folder / INDEX_NAME, index)
    return folder / INDEX_NAME


def write_packed(
    rows: Iterable[Mapping[str, Any]],
    class_names: Sequence[str],
    out: Path,
    report: Mapping[str, Any],
) -> PackedClips:
    """Write clips to `out`, atomically, and open them.

    Each row has `clip_id`, `class_name`, `fold`, `source` and `frames` (encoded images, in order); the label
    and the number of frames follow from these. `report` becomes prepare.json and should have `dataset`, the
    dataset's name. Rows are streamed, with some tens of MiB in memory. Raises InputError if `out` exists, a
    clip id occurs twice, a class is unknown or a clip has no frame.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} already exists\nChoose another folder, or delete it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with named_as(out, temporary):
            temporary.mkdir()
            stream = iter(rows)
            shards: list[Path] = []
            while first := list(islice(stream, 1)):
                path = temporary / f"clips-{len(shards):05d}.arrow"
                write_shard(path, chain(first, islice(stream, SHARD_CLIPS - 1)), class_names)
                shards.append(path)
            assemble(temporary, shards, class_names, report)
            temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PackedClips.open(out)


def assemble(
    folder: Path,
    shards: Sequence[Path],
    class_names: Sequence[str],
    report: Mapping[str, Any],
    votes: GivenVotes | None = None,
) -> None:
    """Complete `folder`, with `shards` in this order, for `datasets.load_from_disk`.

    Writes dataset_info.json and state.json. `votes` returns the annotators' votes (clips, classes), or None,
    for clip ids and labels. The shards do not change; `save_to_disk` would write tens of
    gigabytes a second time. Raises InputError if a clip id occurs twice, or if there is no clip.
    """
    digest = hashlib.sha256()
    seen: set[str] = set()
    for path in shards:
        for clip_id in _clip_ids(path):
            if clip_id in seen:
                raise InputError(f"clip {clip_id} occurs twice; clip ids must be unique")
            seen.add(clip_id)
            digest.update(clip_id.encode() + b"\0")
    if not seen:
        raise InputError("there is no clip to pack")
    import datasets

    datasets.DatasetInfo(features=features(class_names)).write_to_directory(str(folder))
    state: dict[str, Any] = {
        "_data_files": [{"filename": path.name} for path in shards],
        "_fingerprint": digest.hexdigest()[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    with ThreadPoolExecutor(cores()) as pool:
        digests = dict(zip((path.name for path in shards), pool.map(file_sha256, shards), strict=True))
    _write_json(folder / REPORT_NAME, {**report, DIGESTS: digests})
    _write_json(folder / "state.json", state)
    clips = PackedClips.open(folder)
    given = None if votes is None else votes(clips.clip_ids, clips.labels.tolist())
    if given is not None:
        _write_json(folder / REPORT_NAME, {**clips.report, VOTES: {"sha256": votes_digest(given)}})
        clips = PackedClips.open(folder)
    write_index(clips, given)


def _clip_ids(path: Path) -> Iterator[str]:
    with pa.memory_map(str(path)) as source:
        for batch in pa.ipc.open_stream(source):
            yield from batch.column("clip_id").to_pylist()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
