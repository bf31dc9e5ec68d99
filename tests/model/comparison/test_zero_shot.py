"""Zero-shot with several prompts per class, on the given folds, against torch and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.zero_shot import (
    ENSEMBLINGS,
    Videos,
    ensembled_answers,
    prompt_figures,
    video_features,
    zero_shot_answers,
)
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import frame_features
from dfer_model.models.clip import Clip

from .. import tiny

PROMPTS = (["a smile", "raised cheeks"], ["tears", "a frown", "sad eyes"], ["parted lips"])


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def test_both_ensembles_differ_by_the_norm_of_the_mean() -> None:
    # Class 0 says two things far apart, class 1 one. The clip's cosines are 0.6 and 0.8 with class 0 (mean
    # 0.7, by a unit mean 0.7 * sqrt 2 = 0.99) and 0.8 with class 1.
    first = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    second = torch.tensor([[0.0, 1.0, 0.0]])
    video = torch.tensor([[0.6, 0.8, 0.0]])
    assert ensembled_answers(video, [first, second], "mean of embeddings").tolist() == [0]
    assert ensembled_answers(video, [first, second], "mean of similarities").tolist() == [1]


@pytest.mark.parametrize("way", ENSEMBLINGS)
def test_figures_are_those_of_torch_and_scikit_learn(tiny_clip: Clip, way: str) -> None:
    rng = np.random.default_rng(0)
    features = F.normalize(torch.from_numpy(rng.normal(size=(80, 48))).float(), dim=-1)
    videos = Videos(features, rng.integers(0, 3, 80), rng.integers(1, 3, 80))
    with torch.inference_mode():
        embedded = [
            F.normalize(tiny_clip.model.encode_text(tiny_clip.tokenizer(own)), dim=-1)  # type: ignore[operator]
            for own in PROMPTS
        ]
    if way == "mean of embeddings":
        scores = torch.stack([features @ F.normalize(own.mean(0), dim=0) for own in embedded], dim=1)
    else:
        scores = torch.stack([(features @ own.T).mean(dim=1) for own in embedded], dim=1)
    answers = scores.argmax(dim=1).numpy()
    by_fold = [(videos.labels[videos.folds == fold], answers[videos.folds == fold]) for fold in (1, 2)]
    figures = prompt_figures(tiny_clip, videos, PROMPTS, tiny.CLASSES)
    assert list(figures) == list(ENSEMBLINGS)
    uar, war = figures[way].uar, figures[way].war
    assert uar.value == pytest.approx(100 * np.mean([balanced_accuracy_score(*pair) for pair in by_fold]))
    assert war.value == pytest.approx(100 * np.mean([accuracy_score(*pair) for pair in by_fold]))
    assert uar.low < uar.value < uar.high


def test_one_prompt_a_class_is_one_figure(tiny_clip: Clip) -> None:
    videos = Videos(F.normalize(torch.ones(3, 48), dim=-1), np.arange(3), np.ones(3, dtype=np.int64))
    figures = prompt_figures(tiny_clip, videos, [own[:1] for own in PROMPTS], tiny.CLASSES)
    assert list(figures) == ["one prompt"]
    assert figures["one prompt"].uar.value == pytest.approx(100 / 3)


def test_features_are_the_unit_means_of_the_folds_frames(
    tiny_clip: Clip, clips: PackedClips, tmp_path: Path
) -> None:
    settings = tiny.settings()
    videos = video_features(tiny_clip, clips, (2, 1), settings, tmp_path, silent, "cpu")
    indices = np.concatenate([clips.test_indices(2), clips.test_indices(1)])
    frames = frame_features(tiny_clip, clips, indices, settings, "cpu")
    assert torch.allclose(videos.features, F.normalize(frames.mean(dim=1), dim=-1), atol=1e-6)
    assert videos.labels.tolist() == clips.labels[indices].tolist()
    assert videos.folds.tolist() == [2] * 6 + [1] * 6
    again = video_features(tiny_clip, clips, (1,), settings, tmp_path, silent, "cpu")
    assert torch.equal(again.features, videos.features[6:])
    assert len(list(tmp_path.iterdir())) == 2


def test_fold_0_is_valid_and_a_fold_without_clips_is_an_error(tiny_clip: Clip, tmp_path: Path) -> None:
    rows = [{**row, "fold": number % 2} for number, row in enumerate(tiny.rows(per_class=2))]
    split = write_packed(rows, tiny.CLASSES, tmp_path / "split", {"dataset": "split"})
    settings = tiny.settings()
    videos = video_features(tiny_clip, split, (0,), settings, tmp_path / "kept", silent, "cpu")
    assert videos.folds.tolist() == [0] * 3
    with pytest.raises(InputError, match="has no fold 4"):
        video_features(tiny_clip, split, (0, 4), settings, tmp_path / "kept", silent, "cpu")


@pytest.mark.parametrize("ensemble", ["mean-embedding", "mean-similarity", "max"])
def test_members_are_combined_by_the_setting_ensemble(
    tiny_clip: Clip, clips: PackedClips, tmp_path: Path, ensemble: str
) -> None:
    grid = Grid(tiny.settings(ensemble=ensemble), (tiny.TEXTS,), (1, 2), (1,))
    found = zero_shot_answers(grid, tiny_clip, clips, tmp_path, silent, "cpu")
    videos = video_features(tiny_clip, clips, (1, 2), grid.settings, tmp_path, silent, "cpu")
    with torch.inference_mode():
        own = [
            F.normalize(tiny_clip.model.encode_text(tiny_clip.tokenizer(list(each))), dim=-1)  # type: ignore[operator]
            for each in tiny.TEXTS.texts
        ]
    cosines = [videos.features @ each.T for each in own]
    by_hand = {
        "mean-embedding": [videos.features @ F.normalize(each.mean(0), dim=0) for each in own],
        "mean-similarity": [each.mean(dim=1) for each in cosines],
        "max": [each.amax(dim=1) for each in cosines],
    }[ensemble]
    right = torch.stack(by_hand, dim=1).argmax(dim=1).numpy() == videos.labels
    assert found.correct["v1@2"].tolist() == [right.tolist()]
