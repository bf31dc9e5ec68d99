"""Temperatures against values by hand and a grid, and the clips that may be used to fit them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from torch import tensor

from dfer_model.data.packed import PackedClips
from dfer_model.data.splits import training_clips
from dfer_model.errors import InputError
from dfer_model.evaluation.calibration import (
    Calibration,
    calibration_figures,
    fit_temperature,
    likelihood_loss,
    read_calibration,
    untrained_clips,
    write_calibration,
)
from dfer_model.evaluation.classify import predict
from dfer_model.evaluation.evaluate import predict_logits
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.metrics import calibration_error, reliability
from dfer_model.reports.run_figures import reliability_figure
from dfer_model.runs import Predictions, Run
from dfer_model.training.loop import train_run

from .. import tiny
from .test_classify import CPU, encode


@pytest.mark.parametrize(("right", "clips", "lead"), [(3, 4, 8.0), (9, 10, 1.0)])
def test_the_temperature_of_two_classes_by_hand(right: int, clips: int, lead: float) -> None:
    # Said of every answer is 1 / (1 + exp(-lead / T)), most likely where that is the share of right ones.
    logits = [[lead, 0.0]] * clips
    labels = [0] * right + [1] * (clips - right)
    share = right / clips
    assert fit_temperature(labels, logits) == pytest.approx(lead / math.log(share / (1 - share)))
    probabilities = np.exp(np.array(logits) / fit_temperature(labels, logits))
    assert (probabilities[:, 0] / probabilities.sum(axis=1)) == pytest.approx(share)


def test_no_other_temperature_is_more_likely() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    logits = 3 * (2 * np.eye(5)[labels] + rng.normal(size=(400, 5)))

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(400), labels]))

    found = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    fitted = fit_temperature(labels, logits)
    assert fitted == pytest.approx(math.exp(found.x), rel=1e-5)
    assert fitted > 1.2
    assert likelihood_loss(labels, logits / fitted) == pytest.approx(found.fun)
    assert (logits / fitted).argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("labels", "logits", "words"),
    [
        ([0, 1], [[2.0, 0.0], [0.0, 0.5]], "all 2 clips are predicted correctly"),
        ([0, 1], [[2.0, 2.0], [0.0, 0.5]], "all 2 clips are predicted correctly"),
        ([1, 1], [[2.0, 0.0], [0.0, 0.5]], "no better than chance"),
        ([1, 1], [[2.0, 0.0], [0.0, float("inf")]], "not finite"),
    ],
)
def test_an_undefined_temperature_is_an_error_with_the_reason(
    labels: list[int], logits: list[list[float]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fit_temperature(labels, logits)


def test_reliability_by_hand() -> None:
    # Said: 0.9, 0.9, 7/12, 7/12 and 1/2, of which are right: yes, no, yes, yes, no.
    logits = [[math.log(9), 0.0], [math.log(9), 0.0], [math.log(1.4), 0.0], [0.0, math.log(1.4)], [0.0, 0.0]]
    labels = [0, 1, 0, 1, 1]
    bins = reliability(labels, logits)
    # The 15 bins are closed above: 0.9 lies in (13/15, 14/15], 7/12 in (8/15, 9/15], 0.5 in (7/15, 8/15].
    assert np.flatnonzero(bins.clips).tolist() == [7, 8, 13]
    assert bins.clips[[7, 8, 13]].tolist() == [1, 2, 2]
    assert bins.right[[7, 8, 13]] == pytest.approx([0, 1, 0.5])
    assert bins.confidence[[7, 8, 13]] == pytest.approx([0.5, 7 / 12, 0.9])
    assert np.isnan(bins.right[0])
    assert calibration_error(labels, logits) == pytest.approx(100 * (0.5 + 2 * 5 / 12 + 2 * 0.4) / 5)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=8)


@pytest.fixture(scope="module")
def run(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("runs")
    return train_run(tiny.spec(clips, select="val", val_share=0.5, epochs=1), clips, runs, device="cpu")


def test_calibration_clips_are_unused_clips_of_the_training_folds(run: Run, clips: PackedClips) -> None:
    left = untrained_clips(run, clips)
    trained = training_clips(clips, run.settings, run.fold, run.seed)
    assert left.tolist() == trained.val.tolist()
    assert len(left) == 6
    assert set(left) & {*trained.train, *clips.test_indices(run.fold)} == set()


def changed(run: Run, **settings: object) -> Run:
    return Run(run.folder, run.config | {"settings": run.config["settings"] | settings}, run.texts)


def test_clips_beyond_shots_are_used_and_held_out_classes_not(run: Run, clips: PackedClips) -> None:
    few = changed(run, select="last", shots=1, held_out="fear", context_kind="unified")
    left = untrained_clips(few, clips)
    assert len(left) == 6  # of happiness and sadness each 4 training clips, one of which trained
    assert {clips.class_name_of(index) for index in left} == {"happiness", "sadness"}
    assert not set(left) & set(clips.test_indices(1))
    assert untrained_clips(changed(run, epochs=0), clips).tolist() == clips.train_indices(1).tolist()


@pytest.mark.parametrize("select", ["last", "test-best"])
def test_a_run_without_unused_clips_is_refused(run: Run, clips: PackedClips, select: str) -> None:
    with pytest.raises(InputError, match=r"has no clips to fit(.|\n)*--select val"):
        untrained_clips(changed(run, select=select), clips)


def test_changed_clips_are_refused(run: Run, tmp_path: Path) -> None:
    other = tiny.pack(tmp_path / "packed", per_class=9)
    with pytest.raises(InputError, match="no longer has the clips"):
        untrained_clips(run, other)


def test_a_stored_temperature_changes_only_probabilities(
    run: Run, clips: PackedClips, tmp_path: Path
) -> None:
    video = encode(tmp_path / "video.mkv", frames=6)
    (before,) = predict(run, [video], "cpu")
    logits = predict_logits(load_trained(run, CPU), clips, clips.test_indices(1), run.settings, CPU)
    calibration = Calibration(4.0, "clips of a test", 3, "f" * 8, ("a", "b", "c"))
    try:
        write_calibration(run, calibration)
        assert read_calibration(run) == calibration
        (after,) = predict(run, [video], "cpu")
        model = load_trained(run, CPU)
        same = predict_logits(model, clips, clips.test_indices(1), run.settings, CPU)
    finally:
        (run.folder / "calibration.json").unlink()
    assert same.tolist() == logits.tolist()
    # Softmax at T = 4 is the fourth root of softmax at T = 1, made to sum to 1.
    roots = np.array(list(before.probabilities.values())) ** 0.25
    assert list(after.probabilities.values()) == pytest.approx((roots / roots.sum()).tolist(), rel=1e-4)
    assert after.expression == before.expression
    assert model.probabilities(tensor([4.0, 0.0])).tolist() == pytest.approx(
        [math.e / (1 + math.e), 1 / (1 + math.e)]
    )
    assert read_calibration(run) is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"temperature": 0}', '{"temperature": "x"}'])
def test_a_damaged_file_is_refused(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(InputError, match="dfer-prompts calibrate"):
        read_calibration(Run(tmp_path, run.config, run.texts))


def test_reliability_is_measured_at_the_temperature() -> None:
    predictions = Predictions(["a", "b"], np.array([0, 1]), np.array([[2.0, 0.0], [2.0, 0.0]], np.float32))
    measured = calibration_figures(predictions, temperature=2.0)
    share = math.e / (1 + math.e)
    assert measured.clips == 2
    assert measured.calibration_error == pytest.approx(100 * (share - 0.5))
    assert measured.likelihood_loss == pytest.approx(-(math.log(share) + math.log(1 - share)) / 2)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_is_reproducible(tmp_path: Path, suffix: str) -> None:
    bins = reliability([0, 1, 1], [[1.0, 0.0], [0.2, 0.0], [0.0, 3.0]])
    first, second = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    for path in (first, second):
        reliability_figure(path, bins, bins, ("as trained", "calibrated"), "$5 & a <b>")
    assert first.read_bytes() == second.read_bytes()
    assert suffix == "png" or "as trained" in first.read_text()
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        reliability_figure(tmp_path / "one.txt", bins, bins, ("", ""), "")
