"""Screening: all sets and seeds together equal each alone, and equal a training."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from dfer_model.comparison.screening import Screening, screen
from dfer_model.comparison.screening.screener import MOST_BYTES
from dfer_model.comparison.screening.stacked import groups, model_bytes
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError, WorkError
from dfer_model.models.clip import load_clip
from dfer_model.runs import ClassTexts
from dfer_model.training.loop import train_run

from ... import tiny

SHORT = replace(tiny.TEXTS, name="short", sha256="cd" * 32, texts=(("joy",), ("sad",), ("afraid", "scared")))
LONG = replace(
    tiny.TEXTS,
    name="long",
    sha256="ef" * 32,
    texts=(
        ("raised cheeks, and wrinkles around eyes that are nearly closed by a broad smile",),
        ("a trembling chin, tears, and inner brows that are drawn up and together",),
        ("wide open eyes under raised brows", "lips drawn back"),
    ),
)
SETS = (tiny.TEXTS, SHORT, LONG)
CLIP = tiny.register(layers=1)
RECIPES: dict[str, dict[str, Any]] = {
    "sgd and milestones": {"epochs": 2, "milestones": (1,), "loss": "ldam"},
    "adamw and cosine": {
        "epochs": 3,
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup_epochs": 1,
        "lr_temporal": 1e-3,
        "label_smoothing": 0.1,
        "sampling": "class-balanced",
        "ema": 0.9,
        "learned_temperature": True,
        "test_segments": 2,
        "test_crops": 3,
        "brightness_jitter": 0.3,
    },
    "members by themselves": {
        "epochs": 2,
        "ensemble": "max",
        "member_contexts": "own",
        "position": "middle",
        "temporal_depth": 2,
    },
    "no temporal model": {
        "epochs": 2,
        "temporal_depth": 0,
        "context_kind": "unified",
        "ensemble": "mean-similarity",
        "lr_context": 0.1,
    },
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    # Of unequal classes, so that a class-balanced epoch repeats clips.
    rows = [row for row in tiny.rows(per_class=5) if row["clip_id"] not in ("fear-2", "fear-4")]
    folder = tmp_path_factory.mktemp("clips") / "packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dfer_model.data.packed_writer.SHARD_CLIPS", 4)  # a stream needs several shards
        return write_packed(rows, tiny.CLASSES, folder, {"dataset": "tiny"})


def screening(clips: PackedClips, texts: tuple[ClassTexts, ...] = SETS, **changed: Any) -> Screening:
    seeds = changed.pop("seeds", (0, 3))
    views = changed.pop("views", 4)
    learn, test_positions = clips.train_indices(1), clips.test_indices(1)
    return Screening(tiny.settings(**{"clip": CLIP} | changed), texts, seeds, learn, test_positions, views)


@pytest.mark.parametrize(
    "recipe",
    [*list(RECIPES.values())[:2], {"epochs": 2, "sampling": "streamed"}],
    ids=[*[*RECIPES][:2], "streamed"],
)
def test_screening_equals_training_with_a_frozen_image_tower(
    clips: PackedClips, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    # With a view for each epoch, seed 0 of a screening sees what a training with seed 0 draws.
    changed = recipe | {"batch_size": 3, "clip": CLIP}
    request = screening(clips, views=changed["epochs"], **changed)
    found = screen(request, clips, tmp_path / "kept", device="cpu")
    assert set(found) == {(texts.name, seed) for texts in SETS for seed in (0, 3)}
    for texts in (tiny.TEXTS, LONG):
        spec = replace(tiny.spec(clips, seed=0, lr_image=0.0, **changed), texts=texts)
        run = train_run(spec, clips, tmp_path / "runs", device="cpu")
        expected, got = run.predictions("last"), found[texts.name, 0]
        assert got.clip_ids == expected.clip_ids
        assert got.labels.tolist() == expected.labels.tolist()
        np.testing.assert_allclose(got.logits / 100, expected.logits / 100, atol=1e-5)  # as cosines
        assert np.abs(found[texts.name, 3].logits - expected.logits).max() > 0.1


@pytest.mark.parametrize("recipe", RECIPES)
def test_sets_screened_together_equal_sets_screened_alone(
    clips: PackedClips, tmp_path: Path, recipe: str
) -> None:
    together = screen(screening(clips, **RECIPES[recipe]), clips, tmp_path / "kept", device="cpu")
    # Keep the stored features and delete the stored predictions, so that they are computed again.
    shutil.rmtree(tmp_path / "kept" / "screened")
    for texts, seed in ((SHORT, 3), (LONG, 0), (tiny.TEXTS, 3)):
        one = screening(clips, (texts,), seeds=(seed,), **RECIPES[recipe])
        alone = screen(one, clips, tmp_path / "kept", device="cpu")[texts.name, seed]
        np.testing.assert_allclose(together[texts.name, seed].logits / 100, alone.logits / 100, atol=1e-5)


def test_without_epochs_predictions_are_those_of_the_initial_model(
    clips: PackedClips, tmp_path: Path
) -> None:
    request = screening(clips, (tiny.TEXTS,), seeds=(1,), epochs=0)
    run = train_run(
        tiny.spec(clips, epochs=0, lr_image=0.0, clip=CLIP), clips, tmp_path / "runs", device="cpu"
    )
    got = screen(request, clips, tmp_path / "kept", device="cpu")["v1@2", 1]
    np.testing.assert_allclose(got.logits, run.predictions("last").logits, atol=1e-3)
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 1  # no training view


def test_finished_results_are_reused_in_other_requests(clips: PackedClips, tmp_path: Path) -> None:
    reports: list[str] = []

    def report(done: int, total: int, note: str = "") -> None:
        reports.append(note)

    first = screen(screening(clips, SETS[:2]), clips, tmp_path, report=report, device="cpu")
    assert any("clips in view 4 of 4" in note for note in reports)
    reports.clear()
    again = screen(screening(clips, SETS[:2], workers=1), clips, tmp_path, report=report, device="cpu")
    assert not reports
    more = screen(screening(clips, SETS, seeds=(3, 0)), clips, tmp_path, report=report, device="cpu")
    assert reports
    assert not any("clips" in note for note in reports)
    for key, answers in first.items():
        assert np.array_equal(again[key].logits, answers.logits)
        assert np.array_equal(more[key].logits, answers.logits)
    reports.clear()
    screen(screening(clips, SETS[:2], lr_context=0.5), clips, tmp_path, report=report, device="cpu")
    assert reports


def test_equal_weights_of_another_architecture_are_computed_again(clips: PackedClips, tmp_path: Path) -> None:
    named, name = tmp_path / "named", f"{tiny.NAME}-with-gelu"
    named.mkdir()
    (named / f"{name}.json").write_text(json.dumps(tiny.CONFIG | {"quick_gelu": False}))
    open_clip.add_model_config(named)
    quick, gelu = (
        screening(clips, (SHORT,), seeds=(0,), **clip) for clip in ({"clip": tiny.register()}, {"clip": name})
    )
    weights = (load_clip(each.settings.clip, "random").model.state_dict() for each in (quick, gelu))
    assert all(torch.equal(*pair) for pair in zip(*(each.values() for each in weights), strict=True))
    first = screen(quick, clips, tmp_path / "kept", device="cpu")["short", 0]
    found = screen(gelu, clips, tmp_path / "kept", device="cpu")["short", 0]
    alone = screen(gelu, clips, tmp_path / "afresh", device="cpu")["short", 0]
    assert np.array_equal(found.logits, alone.logits)
    assert not np.array_equal(found.logits, first.logits)


@pytest.mark.parametrize("part", ["features", "screener"])
def test_results_of_an_earlier_format_are_computed_again(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    request = screening(clips, (SHORT,), seeds=(0,), epochs=0)

    def kept() -> tuple[int, int]:
        screen(request, clips, tmp_path, device="cpu")
        return len(list(tmp_path.glob("*.npy"))), len(list(tmp_path.glob("screened/*")))

    assert kept() == kept() == (1, 1)
    monkeypatch.setattr(f"dfer_model.comparison.screening.{part}.FORMAT", 0)
    assert kept() == (2 if part == "features" else 1, 2)


def test_finished_groups_are_stored(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = screening(clips)
    complete = screen(request, clips, tmp_path / "whole", device="cpu")
    clip = load_clip(request.settings.clip, "random")
    most = 2 * max(model_bytes(clip, texts, request.settings) for texts in SETS)
    monkeypatch.setattr("dfer_model.comparison.screening.screener.MOST_BYTES", most)

    def stopping(done: int, total: int, note: str = "") -> None:
        if "epoch" in note and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen(request, clips, tmp_path / "cut", report=stopping, device="cpu")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "screened").iterdir()}
    assert 0 < len(times) < len(complete)
    gone_on = screen(request, clips, tmp_path / "cut", device="cpu")
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    for key, answers in complete.items():
        np.testing.assert_allclose(gone_on[key].logits / 100, answers.logits / 100, atol=1e-5)


def test_the_size_of_groups_is_limited_by_memory() -> None:
    settings = tiny.settings()
    clip = load_clip(settings.clip, "random")
    pairs = [(texts, seed) for texts in SETS for seed in (1, 2, 3)]
    costs = {texts.name: model_bytes(clip, texts, settings) for texts in SETS}
    assert costs["short"] < costs["v1@2"] < costs["long"]
    assert groups(clip, pairs, settings, MOST_BYTES) == [pairs]
    assert groups(clip, pairs, settings, 1) == [[pair] for pair in pairs]
    most = 2 * costs["long"]
    split = groups(clip, pairs, settings, most)
    assert [pair for group in split for pair in group] == pairs
    assert all(sum(costs[texts.name] for texts, _ in group) <= most for group in split)
    assert len(split) < len(pairs)


@pytest.mark.usefixtures("bf16_processor")
def test_bf16_is_near_fp32(clips: PackedClips, tmp_path: Path) -> None:
    slow = {"epochs": 1, "lr_temporal": 1e-3}
    fp32 = screen(screening(clips, **slow), clips, tmp_path, device="cpu")
    bf16 = screen(screening(clips, precision="bf16", **slow), clips, tmp_path, device="cpu")
    for key, answers in fp32.items():
        assert 0 < np.abs(bf16[key].logits - answers.logits).max() < 3  # in units of 0.01 of a cosine


def test_the_random_state_of_torch_has_no_effect(clips: PackedClips, tmp_path: Path) -> None:
    request = screening(clips, (SHORT,), seeds=(2,))
    first = screen(request, clips, tmp_path / "one", device="cpu")
    torch.rand(5)
    second = screen(request, clips, tmp_path / "other", device="cpu")
    assert np.array_equal(first["short", 2].logits, second["short", 2].logits)


def test_settings_that_cannot_be_screened_are_refused(clips: PackedClips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classifier=cocoop cannot be trained so\n"):
        screening(clips, classifier="cocoop")
    with pytest.raises(InputError, match="held_out=fear"):
        screening(clips, held_out="fear")
    with pytest.raises(InputError, match="screening trains on labels"):
        screening(clips, targets="distribution")
    swapped = replace(tiny.TEXTS, class_names=tiny.CLASSES[::-1])
    with pytest.raises(InputError, match="not for the classes"):
        screen(screening(clips, (swapped,)), clips, tmp_path, device="cpu")
    with pytest.raises(InputError, match="nothing is left to train"):
        screen(screening(clips, contexts=0, temporal_depth=0), clips, tmp_path, device="cpu")


@pytest.mark.parametrize("sampling", ["uniform", "class-balanced"])
def test_a_loss_that_is_not_finite_names_set_step_and_clips(
    clips: PackedClips, tmp_path: Path, sampling: str
) -> None:
    changed = {"lr_temporal": 1e30, "epochs": 3, "batch_size": 3, "sampling": sampling}
    with pytest.raises(
        WorkError, match=r"loss of v1@2, seed 0, is (nan|inf) in epoch \d.*\n.*lr_temporal"
    ) as of:
        screen(screening(clips, (tiny.TEXTS,), **changed), clips, tmp_path / "kept", device="cpu")
    assert not (tmp_path / "kept" / "screened").exists()
    spec = tiny.spec(clips, seed=0, lr_image=0.0, clip=CLIP, **changed)
    with pytest.raises(WorkError) as trained:
        train_run(spec, clips, tmp_path / "runs", device="cpu")
    step = r"in epoch (\d), step (\d) of .*, on the clips (.*)"
    ours, theirs = (re.findall(step, str(each.value)) for each in (of, trained))
    assert len(ours) == 1
    assert ours == theirs
