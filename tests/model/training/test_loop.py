"""Training: the recipe step by step, selection of the epoch, finished runs, errors."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from safetensors.torch import load_file

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.loaders import pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError, WorkError
from dfer_model.models.clip import load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.reports.run_figures import confusion_figure
from dfer_model.runs import Run
from dfer_model.training import run_writer
from dfer_model.training.loop import train_epoch, train_run
from dfer_model.training.run_writer import record_epoch
from dfer_model.training.setup import Training

from .. import tiny
from ..resuming import same_result


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs that tests share: each is trained by the first test that asks for it."""
    return tmp_path_factory.mktemp("runs")


# A whole run


def test_learning_rates_and_augmentation_change_with_the_epoch(clips: PackedClips, tmp_path: Path) -> None:
    # Rates are negligible and every step takes all clips, so only the crops can change the loss.
    still = {"lr_image": 1e-12, "lr_temporal": 1e-12, "lr_context": 1e-12, "milestones": (2,)}
    run = train_run(tiny.spec(clips, epochs=3, batch_size=6, **still), clips, tmp_path, device="cpu")
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert len({round(row["loss"], 4) for row in rows}) == 3
    assert [row["lr"]["context"] / 1e-12 for row in rows] == pytest.approx([1, 1, 0.1])


def test_each_epoch_has_its_order(clips: PackedClips, tmp_path: Path) -> None:
    training = Training(tiny.spec(clips), clips, tmp_path, torch.device("cpu"))
    orders = []
    for epoch in (2, 1, 3, 2):
        train_epoch(training, epoch, lambda *_: None)
        orders.append(list(training.order))
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_a_repeated_epoch_replaces_its_row_and_later_ones(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 2):
        record_epoch(tmp_path, {"epoch": epoch})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_training_lowers_the_loss_and_generalises(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(
        clips, epochs=16, batch_size=6, lr_image=1e-2, lr_temporal=2e-3, lr_context=1e-2, milestones=(13,)
    )
    run = train_run(spec, clips, tmp_path, device="cpu")
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 17))
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert run.measures("last").uar > 60.0  # chance is 33; the colours of test clips are easy, too


def test_the_run_folder(clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "confusion_figure", confusion_figure)  # see tests/conftest.py
    run = train_run(tiny.spec(clips), clips, tmp_path, device="cpu")
    assert {path.name for path in run.folder.iterdir() if not path.name.startswith(".")} == {
        "README.md",
        "classes.json",
        "config.yaml",
        "confusion.png",
        "metrics.jsonl",
        "model.safetensors",
        "predictions.parquet",
        "result.json",
        "texts.json",
    }
    with Image.open(run.folder / "confusion.png") as picture:
        assert min(picture.size) > 100
    assert json.loads((run.folder / "classes.json").read_text()) == list(tiny.CLASSES)
    predictions = run.predictions("last")
    test = clips.test_indices(1)
    assert predictions.clip_ids == [clips.clip_ids[index] for index in test]
    assert predictions.labels.tolist() == clips.labels[test].tolist()
    assert run.result["measures"]["last"] == run.measures("last").as_dict()
    card = (run.folder / "README.md").read_text()
    for text in ("v1@2 on tiny, fold 1, seed 1", "preset default, ", f"{run.measures('last').uar:.2f}"):
        assert text in card


def test_frozen_towers_keep_every_bit_and_the_rest_is_trained(
    clips: PackedClips, runs: Path, tmp_path: Path
) -> None:
    spec = tiny.spec(clips, lr_image=0.0, epochs=1)
    run = train_run(spec, clips, tmp_path, device="cpu")
    weights = load_file(run.folder / "model.safetensors")
    clip = load_clip(tiny.NAME, "random")
    for name, value in clip.model.visual.state_dict().items():
        assert torch.equal(weights[f"image_tower.{name}"], value)
    torch.manual_seed(spec.seed)
    before = DferClip(clip, spec.texts.texts, spec.settings).state_dict()
    assert torch.equal(weights["prompt_learner.embeddings"], before["prompt_learner.embeddings"])
    assert not torch.equal(weights["prompt_learner.contexts"], before["prompt_learner.contexts"])
    assert not torch.equal(weights["temporal.class_token"], before["temporal.class_token"])
    trained = train_run(tiny.spec(clips), clips, runs, device="cpu")
    now = load_file(trained.folder / "model.safetensors")
    assert not torch.equal(now["image_tower.conv1.weight"], weights["image_tower.conv1.weight"])


def test_a_finished_run_is_never_trained_again(clips: PackedClips, runs: Path) -> None:
    spec = tiny.spec(clips)
    first = train_run(spec, clips, runs, device="cpu")
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    reports: list[Any] = []
    renamed = replace(spec, texts=replace(spec.texts, name="v9"))
    second = train_run(renamed, clips, runs, device="cpu", report=lambda *what: reports.append(what))
    assert (second.folder, second.texts.name, reports) == (first.folder, "v9", [])
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before


@pytest.mark.parametrize("changed", [{"workers": 2}, {}])
def test_a_run_is_reproducible_with_any_number_of_workers(
    clips: PackedClips, runs: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    base = {"brightness_jitter": 0.5, "rotation": 10.0}
    one = train_run(tiny.spec(clips, **base), clips, runs, device="cpu")
    other = train_run(tiny.spec(clips, **base, **changed), clips, tmp_path, device="cpu")
    assert one.id == other.id
    assert same_result(one, other)


@pytest.mark.parametrize("select", ["last", "test-best"])
def test_without_epochs_predictions_are_those_of_the_initial_model(
    clips: PackedClips, tmp_path: Path, select: str
) -> None:
    # No part has a learning rate, as in zero-shot.
    spec = tiny.spec(
        clips, epochs=0, contexts=0, temporal_depth=0, lr_image=0.0, batch_size=48, select=select
    )
    run = train_run(spec, clips, tmp_path, device="cpu")
    assert run.result["epochs"] == {"last": 0}
    assert run.result["notes"] == [
        "no epochs: nothing was trained, predictions are those of the initial model"
    ]
    assert not (run.folder / "metrics.jsonl").exists()
    model = DferClip(load_clip(tiny.NAME, "random"), spec.texts.texts, spec.settings).eval()
    scale = pixel_scale("clip", OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    dataset = ClipDataset(clips, clips.test_indices(1), frames=4, image_size=32)
    with torch.no_grad():
        expected = torch.cat([model(scale(sample["frames"])[None]) for sample in dataset])
    np.testing.assert_allclose(run.predictions("last").logits, expected, atol=1e-3)
    assert train_run(spec, clips, tmp_path, device="cpu").folder == run.folder


def test_seeds_and_folds_differ(clips: PackedClips, runs: Path, tmp_path: Path) -> None:
    one = train_run(tiny.spec(clips), clips, runs, device="cpu")
    other = train_run(tiny.spec(clips, seed=2), clips, tmp_path, device="cpu")
    assert not same_result(one, other)
    fold = train_run(tiny.spec(clips, fold=2, epochs=1), clips, tmp_path, device="cpu")
    assert not set(fold.predictions("last").clip_ids) & set(one.predictions("last").clip_ids)


def test_a_fold_smaller_than_a_batch_is_noted(clips: PackedClips, tmp_path: Path) -> None:
    run = train_run(tiny.spec(clips, batch_size=48, epochs=1), clips, tmp_path, device="cpu")
    assert "6 training clips, fewer than batch_size=48" in run.result["notes"][0]
    assert "fewer than batch" in (run.folder / "README.md").read_text()


@pytest.mark.usefixtures("bf16_processor")
def test_bf16_is_near_fp32(clips: PackedClips, tmp_path: Path) -> None:
    fp32 = train_run(tiny.spec(clips, epochs=1), clips, tmp_path, device="cpu")
    bf16 = train_run(tiny.spec(clips, epochs=1, precision="bf16"), clips, tmp_path, device="cpu")
    difference = np.abs(fp32.predictions("last").logits - bf16.predictions("last").logits).max()
    assert 0 < difference < 3  # in units of 0.01 of a cosine


@pytest.mark.parametrize("changed", [{}, {"mixup": 0.4}])
def test_bf16_pixels_give_the_logits_of_float32_pixels(
    clips: PackedClips, tmp_path: Path, changed: dict[str, Any]
) -> None:
    training = Training(tiny.spec(clips, **changed, precision="bf16"), clips, tmp_path, torch.device("cpu"))
    frames, _ = training.inputs(next(iter(training.batches)))
    direct, plain = training.pixels(frames), training.scale(frames)
    assert direct.dtype == (torch.float32 if "mixup" in changed else torch.bfloat16)
    training.model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = (training.model(each).float() for each in (direct, plain))
    assert float((found - expected).norm()) <= 0.01 * float(expected.norm())


@pytest.mark.usefixtures("avx2_processor")
def test_bf16_is_refused_on_a_processor_without_it(clips: PackedClips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"this processor has no bfloat16 .*\nGive --set precision=fp32"):
        train_run(tiny.spec(clips, precision="bf16"), clips, tmp_path, device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("bf16_processor")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_is_freed_as_soon_as_its_training_is_over(
    clips: PackedClips, tmp_path: Path, precision: str
) -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401 - the first import leaves cycles with the frames of its callers

    def alive() -> int:
        return sum(type(each) is DferClip for each in gc.get_objects())

    def count(_done: float, _epochs: int, note: str) -> None:
        if note.startswith("epoch 1, step 1"):
            within.append(alive())

    gc.collect()
    before, within = alive(), list[int]()
    gc.disable()  # which would free a model in a reference cycle, but only some time later
    try:
        train_run(
            tiny.spec(clips, epochs=1, precision=precision),
            clips,
            tmp_path,
            device="cpu",
            report=count,
        )
        assert alive() == before < max(within)
    finally:
        gc.enable()


# Which epoch


def with_broken_test_frames(folder: Path) -> PackedClips:
    """Clips whose test fold 1 cannot be decoded: reading it fails."""
    rows = [
        row | {"frames": [b"\x89PNG\r\n\x1a\n broken"] * 3} if row["fold"] == 1 else row
        for row in tiny.rows()
    ]
    return write_packed(rows, tiny.CLASSES, folder, {"dataset": "tiny"})


def test_last_does_not_read_the_test_fold_before_the_end(tmp_path: Path) -> None:
    clips = with_broken_test_frames(tmp_path / "packed")
    for select, epochs_done in (("last", 2), ("test-best", 0)):
        spec = tiny.spec(clips, epochs=2, select=select)
        with pytest.raises(InputError, match=r"frame 0 of clip happiness-0 "):
            train_run(spec, clips, tmp_path / "runs", device="cpu")
        path = spec.folder(tmp_path / "runs") / "metrics.jsonl"
        rows = path.read_text().splitlines() if path.is_file() else []
        assert len(rows) == epochs_done
        assert not any("test" in json.loads(row) for row in rows)
        assert not Run.open(path.parent).finished


def test_test_best_keeps_the_epoch_of_highest_war(clips: PackedClips, tmp_path: Path) -> None:
    changed = {"epochs": 6, "lr_image": 1e-2, "lr_temporal": 2e-3, "lr_context": 1e-2, "batch_size": 6}
    # These rates make WAR rise and fall: on the author's machine epoch 5 is the best, and 6 equals it.
    best = train_run(tiny.spec(clips, select="test-best", **changed), clips, tmp_path, device="cpu")
    rows = [json.loads(line) for line in (best.folder / "metrics.jsonl").read_text().splitlines()]
    wars = [row["test"]["war"] for row in rows]
    chosen = wars.index(max(wars)) + 1  # the first of equals
    assert best.selections == ("test-best", "last")
    assert best.result["epochs"] == {"test-best": chosen, "last": 6}
    assert best.measures("test-best").war == max(wars)
    assert best.measures("last").war == wars[-1]
    # The weights are those after that epoch: a run of so many epochs ends with the same ones.
    shorter = train_run(tiny.spec(clips, **changed | {"epochs": chosen}), clips, tmp_path, device="cpu")
    weights, expected = (load_file(run.folder / "model.safetensors") for run in (best, shorter))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    last = train_run(tiny.spec(clips, **changed), clips, tmp_path, device="cpu")
    assert np.array_equal(last.predictions("last").logits, best.predictions("last").logits)


# Wrong input


def test_a_locked_run_is_refused(clips: PackedClips, tmp_path: Path) -> None:
    folder = tiny.spec(clips).folder(tmp_path)
    folder.mkdir()
    with FileLock(folder / ".lock"), pytest.raises(WorkError, match="another process is training"):
        train_run(tiny.spec(clips), clips, tmp_path, device="cpu")


def test_a_loss_that_is_not_finite_is_an_error(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, lr_image=1e30, lr_temporal=1e30, epochs=5)
    with pytest.raises(
        WorkError, match=r"loss is (nan|inf) in epoch \d, step 1 of v1@2.*\n.*lr_image=1e\+30"
    ) as caught:
        train_run(spec, clips, tmp_path, device="cpu")
    named = str(caught.value).partition("on the clips ")[2].partition("\n")[0].split(", ")
    assert len(set(named)) == 4
    assert set(named) <= {clips.clip_ids[index] for index in clips.train_indices(1)}


def test_a_damaged_checkpoint_is_named(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips)
    checkpoint = spec.folder(tmp_path) / "state" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"damaged")
    with pytest.raises(WorkError, match=r"checkpoint\.pt cannot be used.*\nDelete"):
        train_run(spec, clips, tmp_path, device="cpu")


def without_folds() -> Iterator[dict[str, Any]]:
    return tiny.rows(folds=0)


def test_clips_that_do_not_fit_the_run_are_refused(clips: PackedClips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no fold 7"):
        train_run(tiny.spec(clips, fold=7), clips, tmp_path, device="cpu")
    unfolded = write_packed(without_folds(), tiny.CLASSES, tmp_path / "unfolded", {})
    with pytest.raises(InputError, match="no folds"):
        train_run(tiny.spec(unfolded), unfolded, tmp_path, device="cpu")
    one = write_packed(tiny.rows(folds=1), tiny.CLASSES, tmp_path / "one", {})
    with pytest.raises(InputError, match="no clip to train on"):
        train_run(tiny.spec(one), one, tmp_path, device="cpu")
    swapped = replace(tiny.spec(clips), texts=replace(tiny.TEXTS, class_names=tiny.CLASSES[::-1]))
    with pytest.raises(InputError, match="not for the classes"):
        train_run(swapped, clips, tmp_path, device="cpu")
    assert not list(tmp_path.glob("v1*"))  # no folder is left


def test_a_missing_cuda_device_is_an_error(clips: PackedClips, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(InputError, match="--device cpu"):
        train_run(tiny.spec(clips), clips, tmp_path, device="cuda")
