"""Losses against values worked out by hand: two clips, three classes with 16, 1 and 3 training clips."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError
from dfer_model.training.loop import train_epoch, train_run
from dfer_model.training.losses import LossFunction
from dfer_model.training.setup import Training

from .. import tiny

LOGITS = [[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]]
COUNTS = [16, 1, 3]
LOSSES = ("cross-entropy", "class-weighted", "focal", "ldam", "logit-adjusted")
NEEDS_COUNTS = ("class-weighted", "ldam", "logit-adjusted")
LOG_SUMS = [math.log(math.exp(2) + math.e + 1), math.log(1 + math.e + math.exp(3))]


def value(logits: Any, targets: Any, **settings: Any) -> Tensor:
    loss = LossFunction(Settings.model_validate(settings), torch.tensor(COUNTS))
    return loss(torch.as_tensor(logits), torch.as_tensor(targets))


# Of labels 0 and 1; cross-entropy: 0.4076059 and 2.1698461. The margins of classes 0 and 1 are 15 / 2 and 15.
BY_HAND = {
    "cross-entropy": [LOG_SUMS[0] - 2, LOG_SUMS[1] - 1],
    "class-weighted": [20 / 48 * (LOG_SUMS[0] - 2), 20 / 3 * (LOG_SUMS[1] - 1)],
    "focal": [
        (1 - math.exp(2 - LOG_SUMS[0])) ** 2 * (LOG_SUMS[0] - 2),
        (1 - math.exp(1 - LOG_SUMS[1])) ** 2 * (LOG_SUMS[1] - 1),
    ],
    "ldam": [
        math.log(math.exp(2 - 7.5) + math.e + 1) - (2 - 7.5),
        math.log(1 + math.exp(1 - 15) + math.exp(3)) - (1 - 15),
    ],
    "logit-adjusted": [
        math.log(16 / 20 * math.exp(2) + 1 / 20 * math.e + 3 / 20) - 2 - math.log(16 / 20),
        math.log(16 / 20 + 1 / 20 * math.e + 3 / 20 * math.exp(3)) - 1 - math.log(1 / 20),
    ],
}


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_by_hand(loss: str) -> None:
    assert float(value(LOGITS, [0, 1], loss=loss)) == pytest.approx(sum(BY_HAND[loss]) / 2, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_a_distribution_is_the_mean_over_labels(loss: str) -> None:
    one = [[float(value(LOGITS[:1], [label], loss=loss)) for label in range(3)]]
    found = value(LOGITS[:1], [[0.5, 0.2, 0.3]], loss=loss)
    assert float(found) == pytest.approx(float(np.dot(one, [0.5, 0.2, 0.3])[0]), rel=1e-6)
    smoothed = value(LOGITS[:1], [0], loss=loss, label_smoothing=0.3)
    assert float(smoothed) == pytest.approx(float(np.dot(one, [0.8, 0.1, 0.1])[0]), rel=1e-6)


@pytest.mark.parametrize(
    ("neutral", "loss"), [("focal_gamma", "focal"), ("ldam_margin", "ldam"), ("logit_tau", "logit-adjusted")]
)
def test_a_parameter_of_0_gives_cross_entropy(neutral: str, loss: str) -> None:
    found = value(LOGITS, [0, 1], loss=loss, **{neutral: 0})
    assert float(found) == pytest.approx(sum(BY_HAND["cross-entropy"]) / 2, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_equal_finite_differences(loss: str) -> None:
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    function = LossFunction(Settings.model_validate({"loss": loss}), counts)
    for each in ("weights", "margins", "log_prior"):
        setattr(function, each, getattr(function, each).double())
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: function(each, torch.tensor([0, 1])), logits)


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_the_focal_gradient_is_finite_for_a_saturated_softmax(gamma: float) -> None:
    logits = torch.tensor([[100.0, 0.0, -100.0], [-100.0, 0.0, 100.0]], requires_grad=True)
    value(logits, [0, 0], loss="focal", focal_gamma=gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1, 0] < 0  # the wrong clip is corrected


# Trainings: 6 clips of happiness, 2 of sadness and 1 of fear are trained in fold 1.


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    counts = {"happiness": 12, "sadness": 4, "fear": 2}
    rows = [
        row
        for row in tiny.rows(per_class=12)
        if int(row["clip_id"].split("-")[1]) < counts[row["class_name"]]
    ]
    folder = tmp_path_factory.mktemp("clips") / "packed"
    return write_packed(rows, tiny.CLASSES, folder, {"dataset": "tiny"})


def one_step(clips: PackedClips, folder: Path, **changed: Any) -> float:
    spec = tiny.spec(clips, batch_size=9, **changed)
    return train_epoch(Training(spec, clips, folder, torch.device("cpu")), 1, lambda *_: None)


def test_a_training_counts_its_own_clips(clips: PackedClips, tmp_path: Path) -> None:
    training = Training(tiny.spec(clips, batch_size=9), clips, tmp_path, torch.device("cpu"))
    training.dataset.set_epoch(1)
    training.order.epoch = 1
    batch = next(iter(training.batches))
    logits = training.model(training.scale(batch["frames"])).detach()
    adjusted = logits + torch.log(torch.tensor([6, 2, 1]) / 9)
    expected = torch.nn.functional.cross_entropy(adjusted, batch["label"])
    found = one_step(clips, tmp_path, loss="logit-adjusted")
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_counts_leave_a_held_out_class_out(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, batch_size=8, loss="logit-adjusted", held_out="fear", context_kind="unified")
    training = Training(spec, clips, tmp_path, torch.device("cpu"))
    expected = torch.log(torch.tensor([6, 2]) / 8)
    torch.testing.assert_close(training.loss_function.log_prior, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_works_in_parts_of_a_mixed_batch(clips: PackedClips, tmp_path: Path, loss: str) -> None:
    mixed = {"mixup": 0.4, "label_smoothing": 0.1, "loss": loss}
    batch_loss = one_step(clips, tmp_path, **mixed)
    assert one_step(clips, tmp_path, **mixed, accumulate=4) == pytest.approx(batch_loss, rel=1e-4)


@pytest.mark.parametrize("loss", ["class-weighted", "logit-adjusted"])
def test_class_frequencies_are_not_corrected_twice(clips: PackedClips, tmp_path: Path, loss: str) -> None:
    spec = tiny.spec(clips, loss=loss, sampling="class-balanced")
    with pytest.raises(InputError, match=f"loss={loss} and sampling=class-balanced both correct"):
        train_run(spec, clips, tmp_path, device="cpu")


@pytest.mark.parametrize("loss", NEEDS_COUNTS)
def test_a_class_without_training_clips_is_refused(loss: str) -> None:
    with pytest.raises(InputError, match="1 of 3 classes have none"):
        LossFunction(Settings.model_validate({"loss": loss}), torch.tensor([2, 0, 1]))


def test_the_default_is_torchs_cross_entropy() -> None:
    logits = torch.randn(48, 7, generator=torch.Generator().manual_seed(0)) * 20
    labels = torch.arange(48) % 7
    loss = LossFunction(Settings(label_smoothing=0.1), torch.ones(7))
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(loss(logits, labels), expected)
