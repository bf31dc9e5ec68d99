"""Evaluation of runs: predictions, views, selection of clips, and matching of classes."""

from __future__ import annotations

import io
import shutil
import unicodedata
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import resize

from dfer_model.data.augmentation import crop_views
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.kept_batches import KeptBatches
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.data.sampling import sample_test
from dfer_model.data.streaming import StreamedClips
from dfer_model.errors import InputError, WorkError
from dfer_model.evaluation.evaluate import (
    clips_to_test,
    evaluate_run,
    frame_features,
    matched_labels,
    predict_logits,
    zero_shot_logits,
)
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.models.clip import load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny
from ..resuming import same_result

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def run(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_run(tiny.spec(clips, lr_image=1e-3), clips, tmp_path_factory.mktemp("runs"), device="cpu")


def decoded(clips: PackedClips, index: int, frames: list[int]) -> list[torch.Tensor]:
    """Frames of a clip as uint8 (3, H, W), by Pillow."""
    images = [Image.open(io.BytesIO(data)) for data in clips.encoded_frames(index, frames)]
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]


def pixels_by_hand(clips: PackedClips, index: int, frames: int) -> torch.Tensor:
    """The normalised test frames of one clip (T, 3, 32, 32), with CLIP's published constants."""
    chosen = sample_test(int(clips.num_frames[index]), frames)
    images = decoded(clips, index, chosen)
    pixels = torch.stack([resize(image, [32, 32], antialias=True) for image in images]).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    return (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_evaluation_reproduces_the_recorded_predictions(run: Run, clips: PackedClips) -> None:
    again = evaluate_run(run, clips, clips.test_indices(1), device="cpu")
    kept = run.predictions("last")
    assert again.clip_ids == kept.clip_ids
    assert again.labels.tolist() == kept.labels.tolist()
    np.testing.assert_array_equal(again.logits, kept.logits)


def test_logits_are_those_of_the_full_model(run: Run, clips: PackedClips) -> None:
    # The same weights in a DferClip with CLIP's own text tower, on pixels worked out here.
    model = DferClip(load_clip(tiny.NAME, "random"), run.texts.texts, run.settings).eval()
    model.load_state_dict(load_trained(run, CPU).model.state_dict(), strict=False)
    index = int(clips.test_indices(1)[0])
    with torch.no_grad():
        expected = model(pixels_by_hand(clips, index, 4)[None])[0]
    np.testing.assert_allclose(run.predictions("last").logits[0], expected.numpy(), atol=1e-3)


def test_order_and_batch_size_have_no_effect(run: Run, clips: PackedClips) -> None:
    model, indices = load_trained(run, CPU), np.array([7, 2, 11, 0, 5])
    one = predict_logits(model, clips, indices, run.settings.model_copy(update={"batch_size": 2}), CPU)
    other = predict_logits(model, clips, indices[::-1].copy(), run.settings, CPU)
    np.testing.assert_allclose(one, other[::-1], atol=1e-4)


@pytest.mark.parametrize("streamed", [False, True])
def test_evaluations_with_kept_workers_equal_those_with_new_ones(
    run: Run, clips: PackedClips, streamed: bool
) -> None:
    of = StreamedClips.open(f"file://{clips.path}") if streamed else clips
    choices = [clips.test_indices(1), clips.train_indices(1)[::-1], clips.test_indices(1)]
    settings = run.settings.model_copy(update={"workers": 2, "test_segments": 2})
    model, kept, seen = load_trained(run, CPU), KeptBatches(), []
    before = {*active_children()}
    for indices in choices:
        own = predict_logits(model, of, indices, settings, CPU, kept=kept)
        seen.append({*active_children()} - before)
        plain = run.settings.model_copy(update={"test_segments": 2})
        expected = predict_logits(model, clips, indices, plain, CPU)
        # A stream forms other batches.
        assert np.allclose(own, expected, atol=1e-4) if streamed else np.array_equal(own, expected)
    assert seen[0] <= seen[1] == seen[2]
    assert [len(each) for each in seen] == ([2, 4, 4] if streamed else [2, 2, 2])
    del kept
    assert {*active_children()} == before


def test_a_training_starts_workers_once(clips: PackedClips, tmp_path: Path) -> None:
    seen: set[Any] = set()
    options = {"epochs": 2, "select": "val", "val_share": 0.4}
    alone = train_run(tiny.spec(clips, **options), clips, tmp_path / "alone", device="cpu")
    run = train_run(
        tiny.spec(clips, **options, workers=2),
        clips,
        tmp_path / "workers",
        device="cpu",
        report=lambda *_: seen.update(active_children()),
    )
    assert same_result(run, alone)
    assert len(seen) == 4  # two for training, two for validation and test


def test_a_run_needs_no_clip_weights(run: Run, clips: PackedClips, tmp_path: Path) -> None:
    # config.yaml names weights that are not here; the run's own are all that is read.
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    config = moved / "config.yaml"
    config.write_text(config.read_text().replace("weights: random", "weights: openai"))
    tiny.without_digests(moved)
    answers = evaluate_run(Run.open(moved), clips, clips.test_indices(1), device="cpu")
    np.testing.assert_array_equal(answers.logits, run.predictions("last").logits)


def test_damaged_weights_are_an_error(run: Run, clips: PackedClips) -> None:
    model = load_trained(run, CPU)
    model.class_weights.fill_(float("nan"))
    with pytest.raises(WorkError, match=r"clip happiness-0 are not finite"):
        predict_logits(model, clips, clips.test_indices(1), run.settings, CPU)


def test_views_are_every_crop_of_every_segment_and_logits_their_mean(run: Run, clips: PackedClips) -> None:
    index = int(np.argmax(clips.num_frames))
    count = int(clips.num_frames[index])
    assert count > 4
    several = run.settings.model_copy(update={"test_segments": 2, "test_crops": 3, "frames": 4})
    model = load_trained(run, CPU)
    answers = predict_logits(model, clips, np.array([index]), several, CPU)
    # The samples begin at 1/4 and 3/4 of each quarter of the clip; 32 + 5 pixels leave 2 above and below.
    expected = []
    for place in (0.25, 0.75):
        chosen = [int(count / 4 * place + count / 4 * part) for part in range(4)]
        large = torch.stack(
            [resize(image, [37, 37], antialias=True) for image in decoded(clips, index, chosen)]
        )
        for left in (0, 2, 5):
            with torch.no_grad():
                expected.append(model(large[None, ..., 2:34, left : left + 32])[0])
    np.testing.assert_allclose(answers[0], torch.stack(expected).mean(0).numpy(), atol=1e-3)
    one = predict_logits(model, clips, np.array([index]), run.settings, CPU)
    assert np.abs(one - answers).max() > 1e-2


def test_five_crops_are_corners_and_middle() -> None:
    frame = torch.arange(16 * 16, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)  # 8/7 of 14 is 16
    views = crop_views([[frame, frame]], 14, 5)
    assert views.shape == (5, 2, 3, 14, 14)
    expected = [frame[:, top : top + 14, left : left + 14] for top, left in
                ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))]  # fmt: skip
    assert torch.equal(views[:, 1], torch.stack(expected))


@pytest.mark.usefixtures("bf16_processor")
def test_a_bf16_run_is_evaluated_in_bf16(run: Run, clips: PackedClips) -> None:
    model, index = load_trained(run, CPU), clips.test_indices(1)
    bf16 = predict_logits(model, clips, index, run.settings.model_copy(update={"precision": "bf16"}), CPU)
    dataset = ClipDataset(clips, index, frames=4, image_size=32)
    frames = torch.stack([sample["frames"] for sample in dataset])
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(frames)
    assert np.abs(bf16 - run.predictions("last").logits).max() > 1e-3
    for logits, wanted in zip(torch.from_numpy(bf16), expected.float(), strict=True):
        assert (logits - wanted).abs().max() < 0.5  # a batch of four rounds elsewhere than one of six


@pytest.mark.usefixtures("avx2_processor")
def test_a_bf16_run_is_evaluated_in_float32_on_a_processor_without_bfloat16(
    run: Run, clips: PackedClips
) -> None:
    model, index = load_trained(run, CPU), clips.test_indices(1)
    bf16 = predict_logits(model, clips, index, run.settings.model_copy(update={"precision": "bf16"}), CPU)
    assert np.array_equal(bf16, run.predictions("last").logits)


# Which clips


def test_the_default_clips_are_those_of_the_test_fold(run: Run, clips: PackedClips) -> None:
    own = clips_to_test(run, clips)
    assert own.indices.tolist() == clips.test_indices(1).tolist()
    assert (own.which, own.notes) == ("the 6 clips of test fold 1 of tiny", ())
    every = clips_to_test(run, clips, every=True)
    assert len(every.indices) == 12
    assert "include the training clips" in every.notes[0]


def test_another_dataset(run: Run, tmp_path: Path) -> None:
    unfolded = tiny.pack(tmp_path / "unfolded", folds=0, per_class=3, name="other")
    assert clips_to_test(run, unfolded).which == "all 9 clips of other"
    assert clips_to_test(run, unfolded).notes == ()
    folded = tiny.pack(tmp_path / "folded", per_class=6, name="other")
    assert clips_to_test(run, folded).which == "the 9 clips of test fold 1 of other"
    assert clips_to_test(run, folded, every=True).which == "all 18 clips of other"
    changed = tiny.pack(tmp_path / "changed", per_class=6, name="tiny")
    assert "not the clips that" in clips_to_test(run, changed).notes[0]


def test_classes_are_matched_by_name(run: Run, tmp_path: Path) -> None:
    # Another order, a class less: label 0 is fear here, which is the run's label 2.
    clips = tiny.pack(tmp_path / "other", classes=("fear", "happiness"), folds=0, per_class=2)
    indices = np.arange(4)
    assert clips.labels.tolist() == [0, 0, 1, 1]
    assert matched_labels(run, clips, indices).tolist() == [2, 2, 0, 0]
    answers = evaluate_run(run, clips, indices, device="cpu")
    assert answers.logits.shape == (4, 3)
    assert run.measured(answers).recalls["sadness"] is None


def test_classes_are_matched_in_both_forms_of_unicode(run: Run, tmp_path: Path) -> None:
    known = ("happiness", unicodedata.normalize("NFD", "gêné"), "fear")
    clips = tiny.pack(
        tmp_path / "other", classes=(unicodedata.normalize("NFC", "gêné"),), folds=0, per_class=2
    )
    other = replace(run, texts=replace(run.texts, class_names=known))
    assert matched_labels(other, clips, np.arange(2)).tolist() == [1, 1]


def test_an_unknown_class_is_an_error(run: Run, tmp_path: Path) -> None:
    clips = tiny.pack(tmp_path / "other", classes=("fear", "boredom"), folds=0, per_class=2)
    with pytest.raises(
        InputError, match=r"clips of boredom, which .*\nIts classes are happiness, sadness, fear"
    ):
        evaluate_run(run, clips, np.arange(4), device="cpu")
    only_fear = np.flatnonzero(clips.labels == 0)
    assert matched_labels(run, clips, only_fear).tolist() == [2, 2]  # a name without clips does no harm


def test_a_broken_frame_in_a_worker_is_an_error(run: Run, tmp_path: Path) -> None:
    rows = [row | {"frames": [b"broken"]} for row in tiny.rows(folds=0)]
    clips = write_packed(rows, tiny.CLASSES, tmp_path / "broken", {})
    settings = run.settings.model_copy(update={"workers": 1})
    with pytest.raises(InputError) as caught:
        predict_logits(load_trained(run, CPU), clips, np.arange(4), settings, CPU)
    assert str(caught.value).startswith("frame 0 of clip happiness-0")
    assert "Traceback" not in str(caught.value)


# Zero-shot, against open_clip itself


def test_frame_features_are_those_of_open_clip(clips: PackedClips) -> None:
    clip = load_clip(tiny.register(), "random")
    features = frame_features(clip, clips, np.array([3, 0]), tiny.settings(), device="cpu")
    assert features.shape == (2, 4, 48)
    with torch.no_grad():
        expected = clip.model.encode_image(pixels_by_hand(clips, 3, 4), normalize=True)
    torch.testing.assert_close(features[0], expected, atol=1e-4, rtol=0)


def test_zero_shot_logits_by_hand() -> None:
    clip = load_clip(tiny.register(), "random")
    features = torch.nn.functional.normalize(torch.randn(5, 4, 48), dim=-1)
    tokenizer = open_clip.get_tokenizer(tiny.NAME)
    weights = []
    with torch.no_grad():
        for texts in tiny.TEXTS.texts:
            members = clip.model.encode_text(tokenizer(list(texts)), normalize=True)
            mean = members.sum(dim=0)
            weights.append(mean / mean.norm())
    video = features.mean(dim=1)
    expected = (video / video.norm(dim=1, keepdim=True)) @ torch.stack(weights).T / 0.01
    np.testing.assert_allclose(zero_shot_logits(features, clip, tiny.TEXTS), expected.numpy(), atol=1e-3)
