from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.synthetic.drawn_faces import (
    CLASS_NAMES,
    clip_frames,
    clip_track,
    draw_contact_sheet,
    draw_dataset,
    person,
    plan_clips,
)


def folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "clips", clips=60, seed=4, image_size=32)


def test_every_fold_has_every_class_and_its_own_people() -> None:
    plan = plan_clips(330, seed=1)
    assert len(plan) == 330
    assert len({clip.clip_id for clip in plan}) == 330
    for fold in range(1, 6):
        inside = {clip.person for clip in plan if clip.fold == fold}
        outside = {clip.person for clip in plan if clip.fold != fold}
        assert len(inside) > 8
        assert not inside & outside
        assert {clip.class_name for clip in plan if clip.fold == fold} == set(CLASS_NAMES)
    assert len({person(1, number) for number in {clip.person for clip in plan}}) > 50


def test_class_counts_are_unequal() -> None:
    counts = Counter(clip.class_name for clip in plan_clips(1100, seed=2))
    # 1100 clips: 5 of each class, the other 1045 by shares of 1.6 (happiness) and 0.7 (fear) of 11.9 in all.
    assert abs(counts["happiness"] - (5 + 1045 * 1.6 / 11.9)) <= 1.5
    assert abs(counts["fear"] - (5 + 1045 * 0.7 / 11.9)) <= 1.5


def test_equal_seeds_give_equal_bytes(drawn: PackedClips, tmp_path: Path) -> None:
    again = draw_dataset(tmp_path / "again", clips=60, seed=4, image_size=32)
    other = draw_dataset(tmp_path / "other", clips=60, seed=5, image_size=32)
    assert folder_hash(again.path) == folder_hash(drawn.path)
    assert folder_hash(other.path) != folder_hash(drawn.path)


def test_packed_clips_are_what_was_planned(drawn: PackedClips) -> None:
    assert drawn.class_names == CLASS_NAMES
    assert drawn.fold_names() == [1, 2, 3, 4, 5]
    plan = plan_clips(60, seed=4)
    assert drawn.clip_ids == [clip.clip_id for clip in plan]
    assert [CLASS_NAMES[label] for label in drawn.labels] == [clip.class_name for clip in plan]
    for i in (0, 31, 59):
        count = int(drawn.num_frames[i])
        assert 8 <= count == len(clip_track(plan[i], 4).units) <= 80
        stored = Image.open(io.BytesIO(drawn.encoded_frames(i, [count - 1])[0]))
        exact = list(clip_frames(plan[i], 4, 32))[-1]
        assert stored.size == (32, 32)
        assert np.abs(np.asarray(stored).astype(int) - exact).mean() < 6  # JPEG, and otherwise the same image
    assert json.loads((drawn.path / "prepare.json").read_text())["dataset"] == "drawn"


def test_progress_is_reported_for_each_clip(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    draw_dataset(tmp_path / "d", clips=15, image_size=16, class_names=("happiness", "neutral", "fear"),
                 report=lambda done, total, text: seen.append((done, total, text)))  # fmt: skip
    assert [done for done, _, _ in seen] == list(range(1, 16))
    assert {total for _, total, _ in seen} == {15}


def test_too_few_clips_and_unknown_classes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="20 clips are too few for 11 classes in 5 folds\nDraw at least 55"):
        draw_dataset(tmp_path / "few", clips=20)
    with pytest.raises(InputError, match="no drawing of joy"):
        draw_dataset(tmp_path / "joy", class_names=("joy", "fear"))
    assert not list(tmp_path.iterdir())


def test_the_contact_sheet_has_a_row_per_class(drawn: PackedClips, tmp_path: Path) -> None:
    draw_contact_sheet(drawn, tmp_path / "faces.png", columns=3)
    sheet = Image.open(tmp_path / "faces.png")
    assert sheet.size == (3 * 32, 11 * 32)
    first = int(np.flatnonzero(drawn.labels == 2)[0])
    middle = Image.open(io.BytesIO(drawn.encoded_frames(first, [int(drawn.num_frames[first]) // 2])[0]))
    assert (np.asarray(sheet)[64:96, :32] == np.asarray(middle.convert("RGB"))).all()
