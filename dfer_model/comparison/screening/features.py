"""Frame features of a frozen image tower, computed once per tower and dataset and stored on disk.

A clip has a test view and a few augmented views, which training uses in turn. View v of a clip is augmented
as in epoch v of a training with seed 0. Features are stored in blocks of clips of one fold: blocks written
before an interruption are reused, and folds that are not needed are not read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfer_model.devices import choose_device
from dfer_model.evaluation.evaluate import FrameTower, clips_at_once, outputs_of, tower_features
from dfer_model.launch import workers_of
from dfer_model.models.clip import Clip, clip_identity
from dfer_model.progress import Report, silent

from ...config import BEFORE, Settings
from ...data.augmentation import Augmentation
from ...data.dataset import ClipDataset
from ...data.loaders import Batches
from ...data.packed import PackedClips
from ...data.streaming import StreamedClips
from ...errors import WorkError
from ...io import replacing

# Increment it when the same clips, tower and settings give other features: stored ones are then not reused.
FORMAT = 1
BLOCK = 128  # clips
STALE = 24 * 3600  # seconds; no write takes this long
TEST = 0  # the test view; training views are numbered from 1

Indices = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]


def tower_facts(clip: Clip) -> list[Any]:
    """What determines the features of `clip`, for JSON.

    The weights are not enough: the same weights give other features with another activation or other heads.
    """
    return [FORMAT, clip_identity(clip), clip.config, clip.mean, clip.std]


def remove_unfinished(cache_dir: Path) -> None:
    """Remove temporary files of `replacing` that killed processes left behind.

    Only old ones: another process, perhaps on another machine, may be writing now.
    """
    for path in cache_dir.rglob(".*.*.*"):
        with suppress(FileNotFoundError):  # another process may remove it as well
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


class _Block(NamedTuple):
    """A file of features and their layout in it."""

    path: Path
    offset: int  # bytes before the first clip
    shape: tuple[int, ...]  # of one clip


def _whole_block(path: Path) -> _Block | None:
    """The block of features at `path`, None if it is missing or damaged.

    A sha256 follows the NumPy content; blocks of earlier versions have none.
    """
    try:
        features = np.load(path, mmap_mode="r")
        content = memoryview(path.read_bytes())
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    end = features.offset + features.nbytes
    if content[end:] not in (b"", hashlib.sha256(content[:end]).digest()):
        return None
    return _Block(path, features.offset, features.shape[1:])


class KeptFeatures:
    """Frame features of `clips` by `clip`'s image tower, frames read by `settings`, stored in `cache_dir`.

    They are the tower's output, not normalised, and are read from disk batch by batch.
    """

    def __init__(
        self, clip: Clip, clips: PackedClips, settings: Settings, cache_dir: Path, device: str | None = None
    ) -> None:
        self.clip, self.clips, self.settings = clip, clips, settings
        self.cache_dir, self.device = cache_dir, device
        self.identity = [
            *tower_facts(clip),
            clips.fingerprint,
            settings.frames,
            settings.normalize,
            settings.precision,
        ]
        # The block and row of each clip: the clips of a fold in order, in blocks.
        self.block_of = np.zeros(len(clips), dtype=np.int64)
        self.row_of = np.zeros(len(clips), dtype=np.int64)
        self.blocks: list[Indices] = []
        for fold in np.unique(clips.folds):
            of_fold = np.flatnonzero(clips.folds == fold)
            for block in np.split(of_fold, range(BLOCK, len(of_fold), BLOCK)):
                self.block_of[block], self.row_of[block] = len(self.blocks), np.arange(len(block))
                self.blocks.append(block)
        self._found: dict[tuple[int, int], _Block] = {}

    def make(self, indices: Indices, views: range, report: Report) -> None:
        """Compute the features of the clips at `indices` that are not yet stored, for each of `views`.

        `report` receives (clips done, clips, note), each clip once per view. Raises InputError for a
        clip that cannot be read, OSError as `replacing`.
        """
        missing = [
            (view, int(block))
            for view in views
            for block in np.unique(self.block_of[indices])
            if not self._path(view, int(block)).is_file()
        ]
        if missing:
            remove_unfinished(self.cache_dir)
        total = sum(len(self.blocks[block]) for _, block in missing)
        done = 0
        for view in views:
            name = "in the test view" if view == TEST else f"in view {view} of {views[-1]}"

            def within(part: int, _: int, note: str = "", name: str = name, before: int = done) -> None:
                report(before + part, total, f"{note} {name}")

            blocks = [block for of, block in missing if of == view]
            self._make(view, blocks, within)
            done += sum(len(self.blocks[block]) for block in blocks)

    def batch(self, indices: Indices, views: Indices) -> Tensor:
        """The features (clips, T, width) of the clips at `indices`, each in its own view of `views` (clips,).

        With several test segments or crops: (clips, segments * crops, T, width). Call `make` first.
        """
        rows = [self._row(int(index), int(view)) for index, view in zip(indices, views, strict=True)]
        return torch.from_numpy(np.stack(rows))

    def batches(self, indices: Indices, size: int) -> Iterator[Tensor]:
        """The features of the clips at `indices` in the test view, `size` clips at a time."""
        for part in np.split(indices, range(size, len(indices), size)):
            yield self.batch(part, np.full(len(part), TEST))

    def _row(self, index: int, view: int) -> Features:
        """The features of one clip; the file is closed after reading.

        A batch has clips of many files, and a large dataset has more files than a process may open.
        """
        block = self._block(view, int(self.block_of[index]))
        count = math.prod(block.shape)
        start = block.offset + int(self.row_of[index]) * count * np.dtype(np.float32).itemsize
        return np.fromfile(block.path, np.float32, count, offset=start).reshape(block.shape)

    def _block(self, view: int, block: int) -> _Block:
        if (view, block) not in self._found:
            path = self._path(view, block)
            found = _whole_block(path)
            if found is None:  # damaged since it was written
                self._make(view, [block], silent)
                found = _whole_block(path)
            if found is None:
                raise WorkError(f"{path} is damaged directly after writing\nCheck the disk")
            self._found[view, block] = found
        return self._found[view, block]

    def _path(self, view: int, block: int) -> Path:
        """The file of a block, named by the hash of all that determines its content."""
        settings = self.settings
        reading: list[Any] = [settings.brightness_jitter, settings.rotation]
        # Settings that did not exist when features were first stored are left out of the hash at their value
        # in BEFORE, so that stored features are reused.
        if settings.rotation_interpolation != BEFORE["rotation_interpolation"]:
            reading.append(settings.rotation_interpolation)
        if view == TEST:
            reading = [settings.test_segments, settings.test_crops]
        shaping = [self.identity, reading, view, self.blocks[block].tolist()]
        if settings.tf32 != BEFORE["tf32"]:
            shaping.append("without TF32")
        return self.cache_dir / f"{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()}.npy"

    def _make(self, view: int, blocks: Sequence[int], report: Report) -> None:
        """Compute and write the features of `blocks` in one view.

        Clips on the disk are read by one loader, whose batches end at the ends of blocks, so the features do
        not depend on which other blocks are missing. A stream has its own order and is read block by block.
        """
        if isinstance(self.clips, StreamedClips):
            done, total = 0, sum(len(self.blocks[block]) for block in blocks)
            for block in blocks:
                dataset = self._dataset(view, self.blocks[block])
                features = tower_features(self._tower, dataset, self.settings, self._device)
                self._write(self._path(view, block), features)
                done += len(dataset)
                report(done, total, "clips")
        elif blocks:
            self._make_together(view, blocks, report)

    def _make_together(self, view: int, blocks: Sequence[int], report: Report) -> None:
        dataset = self._dataset(view, np.concatenate([self.blocks[block] for block in blocks]))
        size = clips_at_once(self.settings, dataset.views)
        ends = np.cumsum([len(self.blocks[block]) for block in blocks]).tolist()
        starts = [0, *ends[:-1]]
        given = [
            range(first, min(first + size, end))
            for start, end in zip(starts, ends, strict=True)
            for first in range(start, end, size)
        ]
        workers, pin = workers_of(self.settings.workers), self._device.type == "cuda"
        batches = Batches(dataset, size, workers=workers, pin=pin, given=given)
        done, parts, waiting = 0, [], list(zip(blocks, ends, strict=True))
        for index, outputs in outputs_of(self._tower, batches, size, self.settings, self._device):
            parts.append(outputs)
            done += len(index)
            report(done, len(dataset), "clips")
            if done == waiting[0][1]:
                self._write(self._path(view, waiting.pop(0)[0]), torch.cat(parts))
                parts = []

    @cached_property
    def _device(self) -> torch.device:
        return choose_device(self.device, tf32=self.settings.tf32)

    @cached_property
    def _tower(self) -> FrameTower:
        return FrameTower(self.clip, self.settings).to(self._device)

    def _dataset(self, view: int, indices: Indices) -> ClipDataset:
        settings = self.settings
        reading: dict[str, Any] = {"segments": settings.test_segments, "crops": settings.test_crops}
        if view != TEST:
            reading = {"train": Augmentation.of(settings), "seed": 0}
        dataset = ClipDataset(
            self.clips, indices, frames=settings.frames, image_size=self.clip.image_size, **reading
        )
        dataset.set_epoch(view)
        return dataset

    def _write(self, path: Path, features: Tensor) -> None:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            held = io.BytesIO()
            np.save(held, features.contiguous().numpy())  # clip after clip, as `_row` reads them
            stream.write(held.getbuffer())
            stream.write(hashlib.sha256(held.getbuffer()).digest())
