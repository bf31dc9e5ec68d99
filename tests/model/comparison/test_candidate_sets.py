"""Scores of candidate sets: equal to those computed plainly with torch and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from sklearn.metrics import recall_score

from dfer_model.comparison.candidate_sets import CandidateSets, each_encoded_once, split_clips
from dfer_model.comparison.zero_shot import Videos

WIDTH, CLASSES = 12, 4


def clips(count: int = 90, folds: int = 3) -> Videos:
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.normal(size=(count, WIDTH))).float()
    labels = rng.integers(0, CLASSES, count)
    return Videos(F.normalize(features, dim=-1), labels, rng.integers(1, folds + 1, count))


def encode(texts: list[str]) -> torch.Tensor:
    """A vector that depends on the text only; as in CLIP, all are similar."""
    rows = [3 + np.random.default_rng(sum(map(ord, text))).normal(size=WIDTH) for text in texts]
    return F.normalize(torch.tensor(np.array(rows)).float(), dim=-1)


def test_a_score_is_the_uar_over_folds_and_the_balanced_log_likelihood() -> None:
    videos = clips()
    texts = ["a smile", "tears", "wide eyes", "a raised chin"]
    logits = videos.features.double() @ encode(texts).double().T / 0.01
    predicted = logits.argmax(dim=1).numpy()
    by_fold = [
        recall_score(videos.labels[at], predicted[at], average="macro", labels=np.unique(videos.labels[at]))
        for at in (videos.folds == fold for fold in (1, 2, 3))
    ]
    likely = -F.cross_entropy(logits, torch.from_numpy(videos.labels), reduction="none").numpy()
    by_class = [likely[videos.labels == label].mean() for label in range(CLASSES)]
    score = CandidateSets(videos, encode).score(texts)
    assert score.uar == pytest.approx(100 * np.mean(by_fold))
    assert score.log_likelihood == pytest.approx(np.mean(by_class), rel=1e-3)


def test_of_equal_cosines_the_first_class_is_predicted() -> None:
    scorer = CandidateSets(clips(), encode)
    same = ["a smile"] * CLASSES
    assert np.unique(scorer.predicted(same)).tolist() == [0]
    assert scorer.correct(same).tolist() == (scorer.labels == 0).tolist()
    assert scorer.score(same).uar == pytest.approx(100 / CLASSES)


def test_predictions_and_correct_clips_agree_for_many_sets() -> None:
    scorer = CandidateSets(clips(), encode)
    for number in range(20):
        texts = [f"{label} {number % (label + 2)}" for label in range(CLASSES)]
        assert (scorer.correct(texts) == (scorer.predicted(texts) == scorer.labels)).all()


def test_each_text_is_encoded_once() -> None:
    seen: list[str] = []

    def counted(texts: list[str]) -> torch.Tensor:
        seen.extend(texts)
        return encode(texts)

    once = each_encoded_once(counted)
    for videos in (clips(), clips(60)):
        CandidateSets(videos, once).scores([["a", "b", "c", "d"], ["a", "b", "c", "e"], ["a"] * CLASSES])
    assert sorted(seen) == ["a", "b", "c", "d", "e"]


def test_a_set_has_no_gain_on_itself_and_the_gain_is_the_difference_of_uars() -> None:
    scorer = CandidateSets(clips(), encode)
    first, second = ["a", "b", "c", "d"], ["e", "f", "g", "h"]
    gain = scorer.gain(first, second)
    assert gain.value == pytest.approx(scorer.score(first).uar - scorer.score(second).uar)
    assert gain.low < gain.value < gain.high
    assert scorer.chance_of_no_gain(first, first) == 1
    there, back = scorer.chance_of_no_gain(first, second), scorer.chance_of_no_gain(second, first)
    assert there + back == pytest.approx(1, abs=0.05)


def test_of_several_folds_one_drawn_by_the_seed_confirms() -> None:
    videos = clips(200, folds=3)
    drawn = set()
    for seed in range(8):
        choosing, confirming = split_clips(videos, 0.25, seed)
        (fold,) = set(confirming.folds.tolist())
        assert set(choosing.folds.tolist()) == {1, 2, 3} - {fold}
        assert len(choosing.labels) + len(confirming.labels) == 200
        drawn.add(fold)
    assert len(drawn) > 1


def test_confirming_clips_of_one_fold_are_a_share_of_each_class_and_choose_nothing() -> None:
    videos = clips(200, folds=1)
    numbered = Videos(torch.arange(200.0)[:, None], videos.labels, videos.folds)
    choosing, confirming = split_clips(numbered, 0.25, seed=1)
    both = torch.cat([choosing.features, confirming.features])[:, 0]
    assert both.sort().values.tolist() == list(range(200))
    for label in range(CLASSES):
        of = [(part.labels == label).sum() for part in (choosing, confirming)]
        assert of[1] == round(0.25 * sum(of))
    other = split_clips(numbered, 0.25, seed=2)[1]
    assert other.features.tolist() != confirming.features.tolist()
