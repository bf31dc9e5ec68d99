"""Grids of runs, which are trained once and reused, and zero-shot predictions against open_clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dfer_model.comparison.grid import Grid, check_grid, train_all
from dfer_model.comparison.results import trained_answers
from dfer_model.comparison.zero_shot import zero_shot_answers
from dfer_model.data.augmentation import resize
from dfer_model.data.images import decode_pixels
from dfer_model.data.packed import PackedClips
from dfer_model.data.sampling import sample_test
from dfer_model.errors import InputError
from dfer_model.models.clip import load_clip
from dfer_model.runs import ClassTexts

from .. import tiny

OTHER = ClassTexts("v2", "cd" * 32, tiny.CLASSES, (("tears.",), ("parted lips.",), ("raised cheeks.",)))
SAME_AS_OTHER = ClassTexts("v3", "ef" * 32, tiny.CLASSES, OTHER.texts)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs of both sets, folds and seeds, which two tests share."""
    return tmp_path_factory.mktemp("runs")


def grid(*texts: ClassTexts, seeds: tuple[int, ...] = (1,)) -> Grid:
    return Grid(tiny.settings(epochs=1), texts, folds=(1, 2), seeds=seeds)


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


def test_finished_runs_are_reused_and_sets_of_equal_texts_share_runs(clips: PackedClips, runs: Path) -> None:
    small = grid(tiny.TEXTS, OTHER)
    first = train_all(list(small.specs(clips)), clips, runs, silent, "cpu")
    assert [(run.texts.name, run.fold, run.seed) for run in first] == [
        ("v1@2", 1, 1),
        ("v2", 1, 1),
        ("v1@2", 2, 1),
        ("v2", 2, 1),
    ]
    written = {path: path.stat().st_mtime_ns for path in runs.glob("*/result.json")}
    larger = train_all(
        list(grid(tiny.TEXTS, OTHER, SAME_AS_OTHER, seeds=(1, 2)).specs(clips)),
        clips,
        runs,
        silent,
        "cpu",
    )
    assert len(larger) == 12
    assert len(list(runs.glob("*/result.json"))) == 8
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_answers_of_runs_are_joined_clip_by_clip(clips: PackedClips, runs: Path) -> None:
    texts = (tiny.TEXTS, OTHER)
    trained = train_all(list(grid(*texts, seeds=(1, 2)).specs(clips)), clips, runs, silent, "cpu")
    answers = trained_answers(trained, texts, "last")
    assert answers.labels.tolist() == [*clips.labels[clips.folds == 1], *clips.labels[clips.folds == 2]]
    assert answers.folds.tolist() == [1] * 6 + [2] * 6
    for run in trained:
        mine = answers.correct[run.texts.name][run.seed - 1][answers.folds == run.fold]
        assert 100 * mine.mean() == pytest.approx(run.measures("last").war)


def test_zero_shot_predictions_are_those_of_open_clip(clips: PackedClips, tmp_path: Path) -> None:
    small = grid(tiny.TEXTS, OTHER)
    clip = load_clip(tiny.register(), "random")
    answers = zero_shot_answers(small, clip, clips, tmp_path, silent, "cpu")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (clip.mean, clip.std))
    guesses = []
    for index in [*np.flatnonzero(clips.folds == 1), *np.flatnonzero(clips.folds == 2)]:
        chosen = sample_test(int(clips.num_frames[index]), 4)
        decoded = [decode_pixels(each) for each in clips.encoded_frames(int(index), chosen)]
        frames = [torch.from_numpy(each).permute(2, 0, 1) for each in decoded]
        pixels = (resize(frames, 32).float() / 255 - mean) / std
        with torch.no_grad():
            video = clip.model.encode_image(pixels, normalize=True).mean(dim=0)
            words = clip.model.encode_text(clip.tokenizer([text for (text,) in OTHER.texts]))
        guesses.append(int((F.normalize(words, dim=-1) @ video).argmax()))
    assert answers.correct["v2"][0].tolist() == (np.array(guesses) == answers.labels).tolist()


def test_stored_features_are_reused(clips: PackedClips, tmp_path: Path) -> None:
    clip = load_clip(tiny.register(), "random")
    once = zero_shot_answers(grid(tiny.TEXTS), clip, clips, tmp_path, silent, "cpu")
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(times) == 2
    again = zero_shot_answers(grid(tiny.TEXTS), clip, clips, tmp_path, silent, "cpu")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    assert (again.correct["v1@2"] == once.correct["v1@2"]).all()


def test_other_pixels_clips_or_weights_are_other_features(clips: PackedClips, tmp_path: Path) -> None:
    clip = load_clip(tiny.register(), "random")
    plain = Grid(tiny.settings(normalize="none"), (tiny.TEXTS,), folds=(1,), seeds=(1,))
    scaled = Grid(tiny.settings(normalize="clip"), (tiny.TEXTS,), folds=(1,), seeds=(1,))
    others = tiny.pack(tmp_path / "others", per_class=2)
    features = tmp_path / "features"
    for small, tower, some in (
        (plain, clip, clips),
        (scaled, clip, clips),
        (scaled, load_clip(tiny.NAME, "random", seed=1), clips),
        (scaled, clip, others),
    ):
        before = len(list(features.glob("*")))
        zero_shot_answers(small, tower, some, features, silent, "cpu")
        assert len(list(features.glob("*"))) == before + 1


def test_invalid_texts_and_folds_are_refused_before_training(clips: PackedClips) -> None:
    clip = load_clip(tiny.register(), "random")
    long = ClassTexts("v4", "aa" * 32, tiny.CLASSES, (("tears.",), ("raised cheeks, " * 30,), ("lips.",)))
    with pytest.raises(InputError, match=r"description of sadness in v4 has \d+ tokens"):
        check_grid(grid(tiny.TEXTS, long), clip, clips)
    with pytest.raises(InputError, match="no fold 9"):
        check_grid(Grid(tiny.settings(), (OTHER,), folds=(1, 9), seeds=(1,)), clip, clips)
