"""Training and validation clips of a run: never test clips, and equal for every set."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.data.splits import TrainingClips, training_clips
from dfer_model.errors import InputError
from dfer_model.runs import ClassTexts, Run
from dfer_model.training.loop import train_run
from dfer_model.training.setup import Training

from .. import tiny

OTHER = ClassTexts("v2", "cd" * 32, tiny.CLASSES, (("tears.",), ("parted lips.",), ("raised cheeks.",)))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """30 clips of each of three classes in three folds: 60 to train on, 20 of each class."""
    one = next(tiny.rows())["frames"][:1]
    rows = [
        {"clip_id": f"{name}-{i}", "class_name": name, "fold": i % 3 + 1, "source": "test", "frames": one}
        for name in tiny.CLASSES
        for i in range(30)
    ]
    return write_packed(rows, tiny.CLASSES, tmp_path_factory.mktemp("many") / "packed", {"dataset": "many"})


def chosen(clips: PackedClips, fold: int = 1, seed: int = 1, **changed: Any) -> TrainingClips:
    return training_clips(clips, tiny.settings(**changed), fold, seed)


def per_class(clips: PackedClips, indices: np.ndarray) -> list[int]:
    return np.bincount(clips.labels[indices], minlength=len(clips.class_names)).tolist()


# Validation clips


@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize("changed", [{}, {"select": "val"}, {"shots": 5}, {"select": "val", "shots": 8}])
def test_no_test_clip_is_used_for_training_or_validation(
    many: PackedClips, fold: int, changed: dict[str, Any]
) -> None:
    found = chosen(many, fold, **changed)
    used = np.concatenate([found.train, found.val])
    assert fold not in many.folds[used]
    assert len(np.unique(used)) == len(used)
    assert (len(found.val) > 0) == ("select" in changed)


@pytest.mark.parametrize(("share", "each"), [(0.1, 2), (0.25, 5), (0.5, 10)])
def test_validation_takes_the_same_share_of_every_class(many: PackedClips, share: float, each: int) -> None:
    found = chosen(many, select="val", val_share=share)
    assert per_class(many, found.val) == [each] * 3
    assert per_class(many, found.train) == [20 - each] * 3


def test_validation_clips_come_from_the_seed(many: PackedClips) -> None:
    one, again, other = (chosen(many, seed=seed, select="val").val.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_every_set_has_the_same_training_and_validation_clips(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, select="val", val_share=0.5)
    parts = [
        Training(replace(spec, texts=texts), clips, tmp_path, torch.device("cpu")).learning
        for texts in (tiny.TEXTS, OTHER)
    ]
    assert parts[0].train.tolist() == parts[1].train.tolist()
    assert parts[0].val.tolist() == parts[1].val.tolist()


def with_other_judges(folder: Path) -> PackedClips:
    """The same clips, those of fold 1 with the names of other classes."""
    turned = dict(zip(tiny.CLASSES, tiny.CLASSES[1:] + tiny.CLASSES[:1], strict=True))
    rows = [
        row | {"class_name": turned[row["class_name"]]} if row["fold"] == 1 else row
        for row in tiny.rows(per_class=8)
    ]
    return write_packed(rows, tiny.CLASSES, folder, {"dataset": "tiny"})


def test_val_selects_the_epoch_without_the_test_labels(tmp_path: Path) -> None:
    changed = {"select": "val", "val_share": 0.5, "epochs": 6, "lr_image": 1e-2, "lr_context": 1e-2}
    runs, rows = [], []
    for folder in ("as they are", "turned"):
        clips = (
            with_other_judges(tmp_path / folder)
            if folder == "turned"
            else tiny.pack(tmp_path / folder, per_class=8)
        )
        run = train_run(tiny.spec(clips, **changed), clips, tmp_path / "runs", device="cpu")
        lines = (run.folder / "metrics.jsonl").read_text().splitlines()
        runs.append(run)
        rows.append([json.loads(line) for line in lines])
    one, other = runs
    wars = [row["val"]["war"] for row in rows[0]]
    assert len(set(wars)) > 1  # else any epoch would do
    assert one.selections == ("val", "last")
    assert one.result["epochs"] == {"val": wars.index(max(wars)) + 1, "last": 6}
    assert one.result["clips"] == {"train": 6, "val": 6, "test": 12}
    assert [row["val"] for row in rows[0]] == [row["val"] for row in rows[1]]
    assert one.result["epochs"] == other.result["epochs"]
    assert np.array_equal(one.predictions("val").logits, other.predictions("val").logits)
    # What is kept beside it is the last epoch's answer, as a run without validation would give it.
    assert not np.array_equal(one.predictions("val").logits, one.predictions("last").logits)


def test_validation_with_a_class_of_one_clip_is_refused(tmp_path: Path) -> None:
    rows = [row for row in tiny.rows() if row["clip_id"] not in ("fear-1", "fear-3")]
    lone = write_packed(
        [*rows, next(r for r in tiny.rows() if r["clip_id"] == "fear-1")],
        tiny.CLASSES,
        tmp_path / "lone",
        {},
    )
    with pytest.raises(InputError, match=r"fear has 1 training clip.*\n.*--select last"):
        chosen(lone, select="val", val_share=0.5)
    chosen(lone, select="last")


def test_a_share_too_small_for_every_class_is_refused(clips: PackedClips) -> None:
    with pytest.raises(InputError, match=r"a share of 0\.1 of 6 training clips.*\n.*val_share"):
        chosen(clips, select="val")
    with pytest.raises(InputError, match=r"a share of 0\.9 of 6 training clips.*\n.*val_share"):
        chosen(clips, select="val", val_share=0.9)


# Few clips per class


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_smaller_shots_are_subsets_of_larger_shots(many: PackedClips, shots: int) -> None:
    found, more = chosen(many, shots=shots), chosen(many, shots=2 * shots)
    assert per_class(many, found.train) == [shots] * 3
    assert set(found.train.tolist()) < set(more.train.tolist())
    assert found.train.tolist() == sorted(found.train.tolist())
    assert len(found.val) == 0


def test_a_class_with_fewer_clips_than_shots_gives_all(clips: PackedClips) -> None:
    assert chosen(clips, shots=9).train.tolist() == chosen(clips).train.tolist()


def test_shots_come_from_seed_and_fold(many: PackedClips) -> None:
    drawn = {
        (seed, fold): tuple(chosen(many, fold, seed, shots=4).train.tolist())
        for seed in (1, 2)
        for fold in (1, 2)
    }
    assert len(set(drawn.values())) == 4
    assert drawn[1, 1] == tuple(chosen(many, 1, 1, shots=4, contexts=1, lr_image=0.5).train.tolist())


# A class that is left out

UNIFIED = {"held_out": "fear", "context_kind": "unified"}


def test_a_held_out_class_has_no_training_clip(many: PackedClips) -> None:
    found = chosen(many, **UNIFIED)
    assert per_class(many, found.train) == [20, 20, 0]
    assert found.learned.tolist() == [0, 1]
    assert per_class(many, chosen(many, **UNIFIED, select="val").val) == [2, 2, 0]
    assert 2 in many.labels[many.test_indices(1)]  # and it is judged


def test_the_class_may_be_named_in_the_other_form_of_unicode(tmp_path: Path) -> None:
    names = ("happiness", unicodedata.normalize("NFC", "gêné"))
    clips = tiny.pack(tmp_path / "packed", classes=names)
    held_out = UNIFIED | {"held_out": unicodedata.normalize("NFD", "gêné")}
    assert chosen(clips, **held_out).learned.tolist() == [0]


def trained_without(texts: ClassTexts, clips: PackedClips, runs: Path) -> Run:
    changed = {**UNIFIED, "epochs": 2, "lr_image": 1e-2, "lr_context": 1e-1}
    return train_run(replace(tiny.spec(clips, **changed), texts=texts), clips, runs, device="cpu")


def test_the_text_of_a_held_out_class_does_not_affect_training(clips: PackedClips, tmp_path: Path) -> None:
    # The loss is over the learned classes alone: with fear's logit in it, its text would pull at all else.
    other_fear = replace(tiny.TEXTS, texts=(*tiny.TEXTS.texts[:2], ("open jaw.",)))
    one, other = (trained_without(texts, clips, tmp_path) for texts in (tiny.TEXTS, other_fear))
    assert one.id != other.id
    first, second = (load_file(run.folder / "model.safetensors") for run in (one, other))
    learned = [name for name in first if name not in ("class_weights", "prompt_learner.embeddings")]
    assert {"prompt_learner.contexts", "image_tower.conv1.weight"} <= set(learned)
    assert all(torch.equal(first[name], second[name]) for name in learned)
    # And it is told by its text: its logit alone differs.
    by_class = [run.predictions("last").logits for run in (one, other)]
    assert np.array_equal(by_class[0][:, :2], by_class[1][:, :2])
    assert not np.allclose(by_class[0][:, 2], by_class[1][:, 2])


def only_fear() -> Iterator[dict[str, Any]]:
    for row in tiny.rows():
        if row["fold"] == 1 or row["class_name"] == "fear":
            yield row


def test_invalid_held_out_classes_are_refused(clips: PackedClips, tmp_path: Path) -> None:
    alone = write_packed(only_fear(), tiny.CLASSES, tmp_path / "packed", {})
    refused: list[tuple[PackedClips, dict[str, Any], str]] = [
        (clips, {"held_out": "joy", "contexts": 0}, "joy is not a class of .*happiness, sadness, fear"),
        (clips, {"held_out": "fear"}, r"never be trained\n.*context_kind=unified"),
        (clips, {**UNIFIED, "classifier": "linear"}, "linear classifier uses no text"),
        (alone, UNIFIED, "without fear fold 1 of .* has no training clips"),
    ]
    for of, changed, message in refused:
        with pytest.raises(InputError, match=message):
            chosen(of, **changed)
    assert chosen(clips, held_out="fear", contexts=0).learned.tolist() == [0, 1]
