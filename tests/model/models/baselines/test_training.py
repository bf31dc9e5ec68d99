"""A video network: trained, resumed, evaluated, and used to predict a video."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfer_model.data.packed import PackedClips
from dfer_model.errors import Interrupted
from dfer_model.evaluation.classify import predict_video
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.models.baselines.build import FORMS
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from ... import tiny
from ...evaluation.test_classify import encode

NETWORK = {
    "classifier": "i3d",
    "weights": "random",
    "lr_image": 1e-2,
    "temporal_depth": 0,
    "epochs": 2,
    "batch_size": 3,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "i3d", replace(FORMS["i3d"], image_size=32))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(FORMS, "i3d", replace(FORMS["i3d"], image_size=32))  # type: ignore[arg-type]
        return train_run(tiny.spec(clips, **NETWORK), clips, tmp_path_factory.mktemp("runs"), device="cpu")


def test_every_part_is_trained_at_its_rate(run: Run) -> None:
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == [{"image": 1e-2, "head": 1e-2}] * 2
    weights = load_file(run.folder / "model.safetensors")
    statistics = weights["image.network.Conv3d_1a_7x7.bn.running_mean"]
    assert statistics.abs().min() > 0  # initially 0
    assert weights["image.network.Conv3d_1a_7x7.bn.num_batches_tracked"] == 4  # two batches an epoch
    assert run.config["clip"]["image_size"] == 32
    assert run.config["clip"]["mean"] == [0.5, 0.5, 0.5]


def test_evaluating_the_run_gives_the_recorded_predictions(run: Run, clips: PackedClips) -> None:
    recorded = run.predictions("last")
    indices = clips.test_indices(run.fold)
    again = evaluate_run(run, clips, indices, device="cpu")
    assert again.clip_ids == recorded.clip_ids
    assert np.array_equal(again.logits, recorded.logits)


def test_it_predicts_a_video(run: Run, tmp_path: Path) -> None:
    video = encode(tmp_path / "clip.mp4", 6)
    cpu = torch.device("cpu")
    prediction = predict_video(load_trained(run, cpu), run.class_names, video, run.settings, cpu)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_a_resumed_training_equals_an_uninterrupted_one(run: Run, clips: PackedClips, tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        if done == 1:
            raise KeyboardInterrupt

    spec = tiny.spec(clips, **NETWORK)
    with pytest.raises(Interrupted):
        train_run(spec, clips, tmp_path, device="cpu", report=stop)
    resumed = train_run(spec, clips, tmp_path, device="cpu")
    expected, parts = (load_file(each.folder / "model.safetensors") for each in (run, resumed))
    assert all(torch.equal(value, parts[name]) for name, value in expected.items())
    assert np.array_equal(run.predictions("last").logits, resumed.predictions("last").logits)
