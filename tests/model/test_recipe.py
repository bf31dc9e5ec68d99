"""Optional settings of the recipe: each against its formula, and all together bit-equal after a resume."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.runs import Run
from dfer_model.training.ema import Mixing
from dfer_model.training.loop import train_epoch, train_run
from dfer_model.training.setup import Training

from . import tiny
from .resuming import Stop, same_result, stopping

ALL: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 3,
    "brightness_jitter": 0.5,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup_epochs": 1,
    "label_smoothing": 0.1,
    "mixup": 0.8,
    "cutmix": 1.0,
    "sampling": "class-balanced",
    "ema": 0.9,
    "learned_temperature": True,
    "lora_rank": 2,
    "lr_image": 1e-3,
    "gradient_checkpointing": True,
    "test_segments": 2,
    "test_crops": 3,
    "select": "test-best",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def with_all(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with all of these settings."""
    return train_run(tiny.spec(clips, **ALL), clips, tmp_path_factory.mktemp("all"), device="cpu")


def first_step(clips: PackedClips, folder: Path, **changed: Any) -> tuple[float, Training, dict[str, Tensor]]:
    """Loss of an epoch of one step, the same training before that step, and the batch of the step."""
    spec = tiny.spec(clips, batch_size=6, **changed)
    loss = train_epoch(Training(spec, clips, folder, torch.device("cpu")), 1, lambda *_: None)
    before = Training(spec, clips, folder, torch.device("cpu"))
    before.dataset.set_epoch(1)
    before.order.epoch = 1
    return loss, before, next(iter(before.batches))


def test_label_smoothing_by_hand(clips: PackedClips, tmp_path: Path) -> None:
    loss, before, batch = first_step(clips, tmp_path, label_smoothing=0.3)
    logs = before.model(before.scale(batch["frames"])).log_softmax(dim=1)
    own = logs[torch.arange(6), batch["label"]]
    assert loss == pytest.approx(float((-0.7 * own - 0.3 * logs.mean(dim=1)).mean().detach()), rel=1e-4)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_loss_of_a_mixed_batch_weighs_both_labels(clips: PackedClips, tmp_path: Path, kind: str) -> None:
    # sadness, label 1, is held out: the labels of training are 0 and 2.
    held_out = {"held_out": "sadness", "context_kind": "unified"}
    loss, before, batch = first_step(clips, tmp_path, **{kind: 1.0}, **held_out)
    labels = (batch["label"] == 2).long()
    mixing = Mixing(**{"mixup": 0.0, "cutmix": 0.0, kind: 1.0}, classes=2, seed=before.spec.seed)
    frames, targets = mixing(before.scale(batch["frames"]), labels, 1, 1)
    logs = before.model(frames)[:, [0, 2]].log_softmax(dim=1)
    # The share of the own label, from a clip whose partner is of the other class.
    other = int((labels != labels.roll(1)).nonzero()[0])
    share = float(targets[other, labels[other]])
    every = torch.arange(len(labels))
    expected = -share * logs[every, labels] - (1 - share) * logs[every, labels.roll(1)]
    assert loss == pytest.approx(float(expected.mean().detach()), rel=1e-4)


def test_class_balanced_training_draws_every_class_equally_often(tmp_path: Path) -> None:
    rows = [
        row for row in tiny.rows(per_class=8) if row["class_name"] != "fear" or row["clip_id"] == "fear-1"
    ]
    clips = write_packed(rows, tiny.CLASSES, tmp_path / "packed", {"dataset": "tiny"})
    spec = tiny.spec(clips, sampling="class-balanced", batch_size=3)  # 4 clips, 4 clips, and 1 of fear
    training = Training(spec, clips, tmp_path / "run", torch.device("cpu"))
    training.order.epoch = 1
    seen = Counter(label for batch in training.batches for label in batch["label"].tolist())
    assert seen == {0: 3, 1: 3, 2: 3}


def test_the_average_of_the_weights_is_evaluated_and_stored(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, ema=0.5, epochs=2, batch_size=3, lr_context=0.1)
    training = Training(spec, clips, tmp_path / "seen", torch.device("cpu"))
    contexts = training.model.prompt_learner.contexts
    expected = contexts.detach().clone()
    number = 0

    def after_a_step(*told: Any) -> None:
        nonlocal expected, number
        number += 1
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * contexts.detach()

    for epoch in (1, 2):
        train_epoch(training, epoch, after_a_step)
        training.scheduler.step()
    run = train_run(spec, clips, tmp_path / "runs", device="cpu")
    weights = load_file(run.folder / "model.safetensors")["prompt_learner.contexts"]
    torch.testing.assert_close(weights, expected)
    assert not torch.allclose(weights, contexts)
    again = evaluate_run(run, clips, clips.test_indices(1), device="cpu")
    assert (again.logits == run.predictions("last").logits).all()


def test_workers_do_not_change_a_run_with_all_settings(
    clips: PackedClips, with_all: Run, tmp_path: Path
) -> None:
    other = train_run(tiny.spec(clips, **ALL, workers=2), clips, tmp_path, device="cpu")
    assert same_result(with_all, other)


def test_a_resumed_run_with_all_settings_is_bit_equal(
    clips: PackedClips, with_all: Run, tmp_path: Path
) -> None:
    spec = tiny.spec(clips, **ALL)
    with pytest.raises(Stop):
        train_run(spec, clips, tmp_path, device="cpu", report=stopping("epoch 3, step 1 ", Stop))
    assert not Run.open(spec.folder(tmp_path)).finished
    torch.rand(7)  # another state of torch's random numbers
    reports: list[str] = []
    run = train_run(spec, clips, tmp_path, device="cpu", report=lambda *what: reports.append(what[-1]))
    assert same_result(run, with_all)
    assert not any(note.startswith("epoch 2") for note in reports)
