"""Packed clips on disk: a HuggingFace dataset whose frames stay encoded until asked for.

The fold rule everywhere: the test clips of fold f are those with `fold == f`, its training clips all others
but those that the dataset's own lists leave out of fold f's training (`given_lists.py`). Fold 0 is never
tested (FERV39k's training split, a dataset without folds).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dfer_model.data.given_lists import FoldLists, as_report, from_report
from dfer_model.data.index import read_index, write_index
from dfer_model.data.shard_file import SCHEMA, write_shard
from dfer_model.errors import InputError

REPORT_NAME = "prepare.json"
SHARD_CLIPS = 200
Integers = npt.NDArray[np.int64]


def features(class_names: Sequence[str]) -> datasets.Features:
    """The columns of packed clips; the class names in label order."""
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


class PackedClips:
    """A folder of packed clips, memory-mapped; clips are addressed by their position 0..len-1."""

    def __init__(self, path: Path, dataset: datasets.Dataset) -> None:
        self.path: Path | str = path  # a URL where they are streamed
        self.class_names: tuple[str, ...] = tuple(dataset.features["label"].names)
        small = dataset.select_columns([name for name in SCHEMA.names if name != "frames"]).with_format(
            "arrow"
        )[:]
        self.clip_ids: list[str] = small["clip_id"].to_pylist()
        self.sources: list[str] = small["source"].to_pylist()
        self.labels: Integers = _integers(small["label"])
        self.folds: Integers = _integers(small["fold"])
        self.num_frames: Integers = _integers(small["num_frames"])
        self._frames = dataset.select_columns(["frames"]).with_format("arrow")

    @classmethod
    def open(cls, path: Path | str) -> PackedClips:
        """Open a folder that `data prepare`, `data draw` or `write_packed` made.

        Raises InputError when it is no such folder, or is one with missing or damaged files.
        """
        path = Path(path)
        if not (path / "state.json").is_file():
            raise InputError(
                f"{path} holds no packed clips\n"
                "Make them: dfer-prompts data prepare NAME --root DIR --out DIR (or data draw --out DIR)"
            )
        try:
            dataset = datasets.load_from_disk(str(path))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
            raise InputError(
                f"the packed clips in {path} are damaged: {' '.join(str(error).split())}\n"
                "Delete the folder and prepare them again"
            ) from error
        missing = [name for name in SCHEMA.names if name not in dataset.column_names]
        if missing or not isinstance(dataset.features["label"], datasets.ClassLabel):
            raise InputError(
                f"{path} is a dataset, but not of packed clips: no {', '.join(missing) or 'class names'}\n"
                "Make one: dfer-prompts data prepare NAME --root DIR --out DIR"
            )
        return cls(path, dataset)

    def __len__(self) -> int:
        return len(self.clip_ids)

    @cached_property
    def report(self) -> dict[str, Any]:
        """What `prepare` or `draw` wrote beside the clips; empty where nothing did."""
        path = Path(self.path) / REPORT_NAME
        if not path.is_file():
            return {}
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not valid JSON: {error}\nPrepare the clips again") from error
        return loaded if isinstance(loaded, dict) else {}

    @property
    def name(self) -> str:
        """The dataset's name as it was prepared (`dfew`, `drawn`), else the folder's."""
        return str(self.report.get("dataset") or Path(self.path).resolve().name)

    @cached_property
    def shards(self) -> Integers:
        """The number of the file that holds each clip, ascending. Raises InputError without an index."""
        return read_index(self.path).shards

    def class_name_of(self, index: int) -> str:
        """The class name of one clip."""
        return self.class_names[int(self.labels[index])]

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        """The JPEG or PNG bytes of the frames asked for, in that order; no other frame is read.

        Raises IndexError for a frame the clip does not have.
        """
        values = self._frames[int(index)]["frames"][0].values
        return [values[int(frame)].as_py() for frame in indices]

    def fold_names(self) -> list[int]:
        """The folds that can be tested, ascending; empty for a dataset without folds."""
        return [int(fold) for fold in np.unique(self.folds) if fold > 0]

    def test_indices(self, fold: int) -> Integers:
        """The clips that judge `fold`. Raises InputError when there are none."""
        self._check_fold(fold)
        return np.flatnonzero(self.folds == fold)

    def train_indices(self, fold: int) -> Integers:
        """The clips that may be learned from for `fold`. Raises InputError when there are none."""
        self._check_fold(fold)
        indices = np.flatnonzero(self.learnable(fold))
        if not len(indices):
            raise InputError(
                f"fold {fold} of {self.path} leaves no clip to train on: every clip is a test clip of it"
            )
        return indices

    def val_indices(self, fold: int) -> Integers:
        """The clips of `fold`'s own validation list; empty where the dataset gives none."""
        return np.flatnonzero(self._among(self.lists.get(fold, FoldLists()).validation))

    def learnable(self, fold: int) -> npt.NDArray[np.bool_]:
        """Per clip whether `fold` trains on it: not a test clip, nor left out by the fold's own lists."""
        own = self.lists.get(fold, FoldLists())
        usable: npt.NDArray[np.bool_] = (self.folds != fold) & ~self._among(own.left_out + own.validation)
        return usable

    def _among(self, clip_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        wanted = set(clip_ids)
        return np.array([clip_id in wanted for clip_id in self.clip_ids], dtype=np.bool_)

    @cached_property
    def lists(self) -> dict[int, FoldLists]:
        """The folds whose own lists leave clips out of training. Raises InputError for a damaged report."""
        return from_report(self.report, self.path)

    def _check_fold(self, fold: int) -> None:
        known = self.fold_names()
        if fold not in known:
            have = (
                f"it has {', '.join(map(str, known))}"
                if known
                else "it has no folds; say them with folds.csv or `data prepare folder --folds N`"
            )
            raise InputError(f"{self.path} has no fold {fold}\n{have[0].upper()}{have[1:]}")

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of what the clips are: ids, classes, folds, lists, and the byte length of every frame.

        The folder's place and the clips' sources are left out, so moving either changes nothing.
        """
        digest = hashlib.sha256(json.dumps([self.class_names, self.clip_ids], ensure_ascii=False).encode())
        for column in (self.labels, self.folds, self.num_frames):
            digest.update(column.astype("<i8").tobytes())
        for lists in self._frames.data.column("frames").chunks:
            digest.update(_byte_lengths(lists.flatten()).astype("<i8").tobytes())
        if self.lists:
            digest.update(json.dumps(as_report(self.lists), ensure_ascii=False, sort_keys=True).encode())
        return digest.hexdigest()


def _integers(column: pa.ChunkedArray) -> Integers:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _byte_lengths(values: pa.BinaryArray) -> Integers:
    """Bytes of each value from Arrow's offsets alone, so that no frame is read."""
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)
    return np.diff(offsets[values.offset : values.offset + len(values) + 1]).astype(np.int64)


def write_packed(
    rows: Iterable[Mapping[str, Any]], class_names: Sequence[str], out: Path, report: Mapping[str, Any]
) -> PackedClips:
    """Write clips to `out`, all of them or nothing, and open them.

    Each row has `clip_id`, `class_name`, `fold`, `source` and `frames` (encoded images, in order); the label
    and the number of frames follow from these. `report` becomes prepare.json and should have `dataset`, the
    dataset's name. Rows are streamed: some tens of MiB are held at a time.
    Raises InputError when `out` exists, a clip id occurs twice, a class is unknown or a clip has no frame.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} exists already\nChoose another folder, or delete it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
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
    folder: Path, shards: Sequence[Path], class_names: Sequence[str], report: Mapping[str, Any]
) -> None:
    """Make `folder`, which holds the `shards`, in this order one that `datasets.load_from_disk` opens.

    The shards stay as they are, for `save_to_disk` would write tens of gigabytes a second time; beside them
    its two files are written, dataset_info.json and state.json.
    Raises InputError when a clip id occurs twice, or when there is no clip at all.
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
    _write_json(folder / REPORT_NAME, report)
    _write_json(folder / "state.json", state)
    write_index(PackedClips.open(folder))


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
