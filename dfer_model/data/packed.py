"""Packed clips on disk: a HuggingFace dataset with encoded frames.

The fold rule: the test clips of fold f are those with `fold == f`; its training clips are all others, except
those that the dataset's own lists exclude from fold f's training (`folds.py`). Fold 0 is never tested
(FERV39k's training split, a dataset without folds).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dfer_model.data.clip_checks import (
    check_report,
    check_table,
    integers,
    missing_columns,
    read_batches,
    read_class_names,
    read_shard_names,
)
from dfer_model.data.folds import FoldLists, as_report, from_report
from dfer_model.data.index import INDEX_NAME, read_index
from dfer_model.data.votes import REPORT_KEY as VOTES
from dfer_model.data.votes import Floats, votes_digest
from dfer_model.digests import file_sha256
from dfer_model.errors import InputError, listed
from dfer_model.io import read_json
from dfer_model.launch import cores

if TYPE_CHECKING:
    pass

REPORT_NAME = "prepare.json"
DIGESTS = "shards"  # the key of prepare.json with the sha256 of each file of clips
Integers = npt.NDArray[np.int64]


class PackedClips:
    """A folder of packed clips, memory-mapped; clips are addressed by their position 0..len-1."""

    def __init__(self, path: Path, class_names: Sequence[str], table: pa.Table) -> None:
        self.path: Path | str = path  # a URL if they are streamed
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.clip_ids: list[str] = table["clip_id"].to_pylist()
        self.sources: list[str] = table["source"].to_pylist()
        self.labels: Integers = integers(table["label"])
        self.folds: Integers = integers(table["fold"])
        self.num_frames: Integers = integers(table["num_frames"])
        self.__dict__["_frames"] = table["frames"]

    @classmethod
    def open(cls, path: Path | str) -> PackedClips:
        """Open a folder written by `data prepare`, `data draw` or `write_packed`.

        Labels, ids, numbers of frames and offsets of frames are checked. Frames are not read; `verify` does.
        Raises InputError if it is not such a folder, or has missing or damaged files.
        """
        path = Path(path)
        if not (path / "state.json").is_file():
            raise InputError(
                f"{path} holds no packed clips\n"
                "Make them: dfer-prompts data prepare NAME --root DIR --out DIR (or data draw --out DIR)"
            )
        with _damage_as_input_error(path):
            class_names, table = read_class_names(path), _read_table(path)
            missing = missing_columns(table)
            if class_names and not missing:
                check_table(table, class_names)
        if missing or not class_names:
            raise InputError(
                f"{path} is a dataset, but not of packed clips: no {', '.join(missing) or 'class names'}\n"
                "Make one: dfer-prompts data prepare NAME --root DIR --out DIR"
            )
        return cls(path, class_names, table)

    def __getstate__(self) -> dict[str, Any]:
        """The state without frames, which the receiving process maps into its own memory."""
        return {key: value for key, value in self.__dict__.items() if key != "_frames"}

    @cached_property
    def _frames(self) -> pa.ChunkedArray:
        """A list of encoded frames per clip, memory-mapped; each process opens it anew."""
        with _damage_as_input_error(self.path):
            return _read_table(Path(self.path))["frames"]

    def __len__(self) -> int:
        return len(self.clip_ids)

    @cached_property
    def report(self) -> dict[str, Any]:
        """The content of prepare.json; empty if there is none."""
        path = Path(self.path) / REPORT_NAME
        if not path.is_file():
            return {}
        try:
            return check_report(read_json(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged: {error}\nPrepare the clips again") from error

    @property
    def name(self) -> str:
        """The dataset's name from prepare.json (`dfew`, `drawn`), else the folder's."""
        return str(self.report.get("dataset") or Path(self.path).resolve().name)

    @cached_property
    def shards(self) -> Integers:
        """The index of the file of each clip, ascending. Raises InputError without an index."""
        index = read_index(self.path)
        if index.fingerprint != self.fingerprint:
            raise InputError(
                f"{self.path}/{INDEX_NAME} is of other clips\nCreate it again: dfer-prompts data index DIR"
            )
        return index.shards

    @cached_property
    def votes(self) -> Floats | None:
        """The annotators' votes (clips, classes) from the index; None if the clips were packed without.

        Raises InputError if the index is missing, damaged, or has other votes than prepare.json says.
        """
        recorded = self.report.get(VOTES)
        if not recorded:
            return None
        votes = read_index(self.path).votes
        if votes is None or len(votes) != len(self) or votes_digest(votes) != recorded["sha256"]:
            raise InputError(
                f"{self.path}/{INDEX_NAME} lacks the votes of these clips\nPrepare them again with --votes"
            )
        return votes

    def verify(self, report: Callable[[int, int, str], None]) -> int:
        """Compare every file of clips with its sha256 in prepare.json; return the number of files compared.

        It is 0 if prepare.json has no digests, as from earlier versions. `report` receives (files done,
        files, the file's name). Raises InputError with the damaged or missing files.
        """
        recorded = dict(self.report.get(DIGESTS) or {})
        with ThreadPoolExecutor(cores()) as pool:
            compared = zip(recorded, pool.map(self._sha256, recorded), strict=True)
            damaged = []
            for done, (name, digest) in enumerate(compared, start=1):
                report(done, len(recorded), name)
                if digest != recorded[name]:
                    damaged.append(name)
        unlisted = sorted(set(self._shard_names()) - set(recorded)) if recorded else []
        if damaged or unlisted:
            raise InputError(
                f"{self.path} is damaged: {listed([*damaged, *unlisted])} "
                f"differ from the sha256 in {REPORT_NAME}\n"
                "Copy the folder again, or delete it and prepare the clips again"
            )
        return len(recorded)

    def _shard_names(self) -> Sequence[str]:
        return read_shard_names(Path(self.path))

    def _sha256(self, name: str) -> str:
        """The digest of a file of clips, "" if there is none."""
        path = Path(self.path) / Path(name).name
        return file_sha256(path) if path.is_file() else ""

    def class_name_of(self, index: int) -> str:
        """The class name of one clip."""
        return self.class_names[int(self.labels[index])]

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        """The JPEG or PNG bytes of the requested frames, in that order; no other frame is read.

        Raises IndexError for a frame the clip does not have.
        """
        values = self._frames[int(index)].values
        return [values[int(frame)].as_py() for frame in indices]

    def fold_names(self) -> list[int]:
        """The folds that can be tested, ascending; empty for a dataset without folds."""
        return [int(fold) for fold in np.unique(self.folds) if fold > 0]

    def test_indices(self, fold: int) -> Integers:
        """The test clips of `fold`. Raises InputError if there are none."""
        self._check_fold(fold)
        return np.flatnonzero(self.folds == fold)

    def train_indices(self, fold: int) -> Integers:
        """The training clips of `fold`. Raises InputError if there are none."""
        self._check_fold(fold)
        indices = np.flatnonzero(self.learnable(fold))
        if not len(indices):
            raise InputError(
                f"fold {fold} of {self.path} leaves no clip to train on: every clip is a test clip of it"
            )
        return indices

    def val_indices(self, fold: int) -> Integers:
        """The clips of `fold`'s own validation list; empty if the dataset has none."""
        return np.flatnonzero(self._among(self.lists.get(fold, FoldLists()).validation))

    def learnable(self, fold: int) -> npt.NDArray[np.bool_]:
        """Per clip whether `fold` trains on it: not a test clip, and not excluded by the fold's own lists."""
        own = self.lists.get(fold, FoldLists())
        usable: npt.NDArray[np.bool_] = (self.folds != fold) & ~self._among(own.left_out + own.validation)
        return usable

    def _among(self, clip_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        selected = set(clip_ids)
        return np.array([clip_id in selected for clip_id in self.clip_ids], dtype=np.bool_)

    @cached_property
    def lists(self) -> dict[int, FoldLists]:
        """The folds whose own lists exclude clips from training. Raises InputError for a damaged report."""
        return from_report(self.report, self.path)

    def _check_fold(self, fold: int) -> None:
        known = self.fold_names()
        if fold not in known:
            have = (
                f"it has {', '.join(map(str, known))}"
                if known
                else "it has no folds; define them with folds.csv or `data prepare folder --folds N`"
            )
            raise InputError(f"{self.path} has no fold {fold}\n{have[0].upper()}{have[1:]}")

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the clips: ids, classes, folds, lists, and the byte length of every frame.

        It does not depend on the places of the folder and of the clips' sources.
        """
        digest = hashlib.sha256(json.dumps([self.class_names, self.clip_ids], ensure_ascii=False).encode())
        for column in (self.labels, self.folds, self.num_frames):
            digest.update(column.astype("<i8").tobytes())
        for lists in self._frames.chunks:
            digest.update(
                integers(pa.chunked_array([pc.binary_length(lists.flatten())])).astype("<i8").tobytes()
            )
        if recorded := self.report.get(VOTES):
            digest.update(str(recorded["sha256"]).encode())
        if self.lists:
            digest.update(json.dumps(as_report(self.lists), ensure_ascii=False, sort_keys=True).encode())
        return digest.hexdigest()


@contextmanager
def _damage_as_input_error(path: Path | str) -> Iterator[None]:
    """Turn errors about the files of packed clips into InputError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(
            f"the packed clips in {path} are damaged: {' '.join(str(error).split())}\n"
            "Delete the folder and prepare them again"
        ) from error


def _read_table(folder: Path) -> pa.Table:
    """All files of clips as one memory-mapped table. Raises as `read_batches`."""
    batches = [batch for name in read_shard_names(folder) for batch in read_batches(folder / name)]
    if not batches:
        raise ValueError("it holds no clip")
    return pa.Table.from_batches(batches)
