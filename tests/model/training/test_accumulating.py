"""Gradient accumulation: a batch in parts gives the same training as the whole batch, within rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfer_model.config import strategy
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.runs import Run
from dfer_model.training.loop import train_epoch, train_run
from dfer_model.training.setup import Training

from .. import tiny
from ..resuming import Stop, stopping

RATES = {"lr_image": 1e-3, "milestones": (), "epochs": 1}
MIXED = {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "ema": 0.9}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=6)


def assert_same_within_rounding(one: Run, other: Run) -> None:
    losses = [
        [json.loads(line)["loss"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        for run in (one, other)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    first, second = (load_file(run.folder / "model.safetensors") for run in (one, other))
    for key, value in second.items():
        torch.testing.assert_close(first[key], value, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        one.predictions("last").logits, other.predictions("last").logits, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    ("accumulate", "changed"),
    [
        (2, {"batch_size": 4}),  # 9 training clips: the last one is left out
        (3, {"batch_size": 7, **MIXED}),  # parts of 2, 2 and 3 clips
        (99, {"batch_size": 3, **MIXED}),  # a clip at a time
        (2, {"batch_size": 4, "sampling": "class-balanced"}),
        (2, {"batch_size": 4, "classifier": "cocoop", "context_kind": "unified"}),
    ],
)
def test_a_batch_in_parts_equals_the_whole_batch(
    clips: PackedClips, tmp_path: Path, accumulate: int, changed: dict[str, Any]
) -> None:
    complete = train_run(tiny.spec(clips, **RATES, **changed), clips, tmp_path / "whole", device="cpu")
    spec = tiny.spec(clips, **RATES, **changed, accumulate=accumulate)
    parts = train_run(spec, clips, tmp_path / "parts", device="cpu")
    assert parts.id == complete.id
    assert_same_within_rounding(parts, complete)


def test_a_forward_pass_has_the_clips_of_one_part(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, **RATES, batch_size=7, accumulate=3, mixup=0.4)
    training = Training(spec, clips, tmp_path, torch.device("cpu"))
    taken: list[int] = []
    training.model.register_forward_hook(lambda _module, given, _made: taken.append(len(given[0])))
    train_epoch(training, 1, lambda *_: None)
    assert taken == [2, 2, 3]  # one step, for two clips are left out


def test_a_run_can_be_resumed_with_more_parts(clips: PackedClips, tmp_path: Path) -> None:
    rates = RATES | {"epochs": 2}
    complete = train_run(tiny.spec(clips, **rates), clips, tmp_path / "whole", device="cpu")
    runs = tmp_path / "cut"
    stop = stopping("epoch 2, step 2 ", Stop)
    with pytest.raises(Stop):
        train_run(tiny.spec(clips, **rates), clips, runs, device="cpu", report=stop)
    again = train_run(tiny.spec(clips, **rates, accumulate=4), clips, runs, device="cpu")
    assert_same_within_rounding(again, complete)


def test_a_classifier_that_needs_the_whole_batch_is_refused(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, **strategy("r3d-18") | {"weights": "random"}, accumulate=2)
    message = "accumulate=2: this classifier's BatchNorm learns the statistics of a whole batch\n.*batch_size"
    with pytest.raises(InputError, match=message):
        train_run(spec, clips, tmp_path, device="cpu")
