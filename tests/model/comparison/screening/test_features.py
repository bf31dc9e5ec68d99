"""Stored frame features: values by view, computed once and reused."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dfer_model.comparison.screening import features
from dfer_model.comparison.screening.features import TEST, KeptFeatures
from dfer_model.config import Settings
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.loaders import pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.models.clip import Clip, load_clip

from ... import tiny


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=6)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip(tiny.register(), "random")


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


def cached(clip: Clip, clips: PackedClips, folder: Path, settings: Settings) -> KeptFeatures:
    return KeptFeatures(clip, clips, settings, folder, "cpu")


@contextmanager
def open_files(most: int) -> Iterator[None]:
    """Inside, this process may open so many files more and no others."""
    with ExitStack() as filling:
        highest = max(int(each.name) for each in Path("/dev/fd").iterdir())
        while (last := filling.enter_context(Path(os.devnull).open("rb")).fileno()) < highest:
            pass
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def by_hand(clip: Clip, dataset: ClipDataset, position: int) -> Tensor:
    """The tower on one clip's frames, by themselves."""
    frames = pixel_scale("clip", clip.mean, clip.std)(dataset[position]["frames"])
    with torch.no_grad():
        return torch.cat([clip.model.visual(frame[None]) for frame in frames])  # type: ignore[operator]


def test_each_clip_has_the_features_of_its_view(
    clip: Clip, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BLOCK", 4)  # several blocks a fold, the last one smaller
    settings = tiny.settings(rotation=20.0)
    found = cached(clip, clips, tmp_path, settings)
    indices = np.arange(len(clips))
    found.make(indices, range(4), silent)
    clips_read, views = np.array([17, 0, 5, 5, 11]), np.array([1, TEST, 3, 2, 3])
    batch = found.batch(clips_read, views)
    assert batch.shape == (5, 4, 48)
    for got, index, view in zip(batch, clips_read, views, strict=True):
        train = None if view == TEST else Augmentation(0.0, 20.0)
        dataset = ClipDataset(clips, [index], frames=4, image_size=32, train=train, seed=0)
        dataset.set_epoch(view)
        torch.testing.assert_close(got, by_hand(clip, dataset, 0), atol=1e-4, rtol=1e-4)


def test_features_are_computed_once_and_only_for_the_fold(
    clip: Clip, clips: PackedClips, tmp_path: Path
) -> None:
    reports: list[tuple[int, int]] = []

    def report(done: int, total: int, note: str = "") -> None:
        reports.append((done, total))

    settings = tiny.settings()
    cached(clip, clips, tmp_path, settings).make(clips.test_indices(1)[:3], range(3), report)
    assert len(list(tmp_path.iterdir())) == 3  # fold 1 in three views
    assert reports[-1] == (27, 27)
    reports.clear()
    # Settings of training alone leave the features as they are.
    again = tiny.settings(epochs=9, lr_context=0.5, workers=1, batch_size=2)
    cached(clip, clips, tmp_path, again).make(clips.test_indices(1), range(3), report)
    assert reports == []
    cached(clip, clips, tmp_path, tiny.settings(frames=3)).make(clips.test_indices(1), range(1), report)
    assert reports[-1] == (9, 9)


def test_damaged_features_are_computed_again(clip: Clip, clips: PackedClips, tmp_path: Path) -> None:
    settings, one, test = tiny.settings(), np.array([1]), np.array([TEST])
    found = cached(clip, clips, tmp_path, settings)
    found.make(one, range(1), silent)
    full = found.batch(one, test)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-40] + bytes([content[-40] ^ 1]) + content[-39:], content[:-50], b""):
        path.write_bytes(damaged)
        assert torch.equal(cached(clip, clips, tmp_path, settings).batch(one, test), full)
        assert path.read_bytes() == content
    path.write_bytes(content[:-32])  # as versions without a digest wrote it
    assert torch.equal(cached(clip, clips, tmp_path, settings).batch(one, test), full)
    assert path.read_bytes() == content[:-32]


def test_training_views_depend_on_augmentation_and_test_views_on_crops(
    clip: Clip, clips: PackedClips, tmp_path: Path
) -> None:
    one, other = np.array([3]), np.array([TEST])
    plain = cached(clip, clips, tmp_path, tiny.settings())
    crops = cached(clip, clips, tmp_path, tiny.settings(test_segments=2, test_crops=3))
    for each in (plain, crops):
        each.make(one, range(2), silent)
    assert len(list(tmp_path.iterdir())) == 3  # the training view is shared
    assert crops.batch(one, other).shape == (1, 6, 4, 48)
    dataset = ClipDataset(clips, one, frames=4, image_size=32, segments=2, crops=3)
    expected = pixel_scale("clip", clip.mean, clip.std)(dataset[0]["frames"][4])
    with torch.no_grad():
        by_crop = clip.model.visual(expected)  # type: ignore[operator]
    torch.testing.assert_close(crops.batch(one, other)[0, 4], by_crop, atol=1e-4, rtol=1e-4)
    bright = cached(clip, clips, tmp_path, tiny.settings(brightness_jitter=0.5))
    bright.make(one, range(2), silent)
    assert len(list(tmp_path.iterdir())) == 4
    assert not torch.equal(bright.batch(one, np.array([1])), plain.batch(one, np.array([1])))


@pytest.mark.parametrize(
    "changed",
    [{"normalize": "none"}, {"precision": "bf16"}, {"frames": 3}],
    ids=lambda each: next(iter(each)),
)
@pytest.mark.usefixtures("bf16_processor")
def test_settings_that_change_features_have_separate_files(
    clip: Clip, clips: PackedClips, tmp_path: Path, changed: dict[str, object]
) -> None:
    one, test = np.array([3]), np.array([TEST])
    found = []
    for settings in (tiny.settings(), tiny.settings(**changed)):
        features_of = cached(clip, clips, tmp_path, settings)
        features_of.make(one, range(1), silent)
        found.append(features_of.batch(one, test))
    assert len(list(tmp_path.iterdir())) == 2
    assert not torch.equal(found[0][:, :3], found[1][:, :3])


def test_more_feature_files_than_the_open_file_limit(
    clip: Clip, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BLOCK", 1)
    settings, indices = tiny.settings(), np.arange(len(clips))
    found = cached(clip, clips, tmp_path, settings)
    found.make(indices, range(2), silent)
    with open_files(8):
        batches = [found.batch(indices, np.full(len(clips), view)) for view in range(2)]
    assert len(list(tmp_path.iterdir())) == 36
    for index in (0, 17):
        dataset = ClipDataset(clips, [index], frames=4, image_size=32)
        expected = by_hand(clip, dataset, 0)
        torch.testing.assert_close(batches[TEST][index], expected, atol=1e-4, rtol=1e-4)


def test_files_of_killed_processes_are_removed_and_of_running_ones_kept(
    clip: Clip, clips: PackedClips, tmp_path: Path
) -> None:
    left, written = tmp_path / ".ab.npy.4711", tmp_path / ".cd.npy.4712"
    for path in (left, written):
        path.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    found = cached(clip, clips, tmp_path, tiny.settings())
    found.make(np.array([3]), range(1), silent)
    (block,) = tmp_path.glob("[!.]*")
    os.utime(block, (yesterday, yesterday))
    found.make(np.array([3]), range(1, 2), silent)
    assert (left.exists(), written.exists(), block.exists()) == (False, True, True)


def test_blocks_made_together_equal_blocks_made_alone(
    clip: Clip, clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, with batches that would not end where blocks end; an interruption keeps whole blocks."""
    monkeypatch.setattr(features, "BLOCK", 4)  # 9 clips per fold: blocks of 4, 4 and 1
    settings = tiny.settings(batch_size=3)
    together, alone, cut = (cached(clip, clips, tmp_path / name, settings) for name in ("all", "one", "cut"))
    reports: list[tuple[int, int]] = []
    together.make(
        np.arange(len(clips)), range(2), lambda done, total, _="": reports.append((int(done), total))
    )
    for index in range(len(clips)):
        alone.make(np.array([index]), range(2), silent)
    files = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("all", "one")
    }
    assert len(files["all"]) == 12
    assert files["all"] == files["one"]
    steps = [3, 4, 7, 8, 9, 12, 13, 16, 17, 18]
    assert reports == [(done + view, 36) for view in (0, 18) for done in steps]

    def stop(done: int, *_: object) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.make(np.arange(len(clips)), range(1), stop)
    assert len(list((tmp_path / "cut").iterdir())) == 1
