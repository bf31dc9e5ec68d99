"""Packed clips: frames are read as written, and invalid folders are errors."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import datasets
import pytest

from dfer_model.data import packed_writer
from dfer_model.data import shards as shard_file
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError

NAMES = ("happiness", "sadness", "fear")


def row(number: int, **changes: Any) -> dict[str, Any]:
    frames = [bytes([number, frame]) * (frame + 1) for frame in range(number + 1)]
    return {
        "clip_id": f"clip {number}",
        "class_name": NAMES[number % 3],
        "fold": number % 3,
        "source": f"somewhere/{number}",
        "frames": frames,
    } | changes


@pytest.fixture
def clips(tmp_path: Path) -> PackedClips:
    return write_packed((row(number) for number in range(7)), NAMES, tmp_path / "out", {"dataset": "tiny"})


def test_reads_what_was_written(clips: PackedClips) -> None:
    assert len(clips) == 7
    assert clips.class_names == NAMES
    assert clips.clip_ids == [f"clip {number}" for number in range(7)]
    assert clips.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert clips.folds.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert clips.num_frames.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert clips.class_name_of(4) == "sadness"
    assert clips.encoded_frames(5, [4, 0, 4]) == [b"\x05\x04" * 5, b"\x05\x00", b"\x05\x04" * 5]
    assert clips.name == "tiny"


def test_frames_are_found_across_shards_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_writer, "SHARD_CLIPS", 3)
    monkeypatch.setattr(shard_file, "BATCH_BYTES", 20)
    written = write_packed(map(row, range(11)), NAMES, tmp_path / "out", {})
    assert len(list(written.path.glob("*.arrow"))) == 4
    for number in range(11):
        assert written.encoded_frames(number, range(number + 1)) == row(number)["frames"]


def test_the_datasets_library_opens_it(clips: PackedClips) -> None:
    loaded = datasets.load_from_disk(str(clips.path))
    assert loaded.features["label"].names == list(NAMES)
    assert loaded[4]["frames"] == row(4)["frames"]
    assert loaded[4]["class_name"] == "sadness"


def test_a_missing_frame_is_an_error(clips: PackedClips) -> None:
    with pytest.raises(IndexError):
        clips.encoded_frames(0, [1])


def test_folds(clips: PackedClips) -> None:
    assert clips.fold_names() == [1, 2]
    assert clips.test_indices(1).tolist() == [1, 4]
    assert clips.train_indices(1).tolist() == [0, 2, 3, 5, 6]
    with pytest.raises(InputError, match="has no fold 3\nIt has 1, 2"):
        clips.test_indices(3)
    with pytest.raises(InputError, match="has no fold 0"):
        clips.train_indices(0)


def test_a_dataset_without_folds_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    clips = write_packed([row(0), row(3)], NAMES, tmp_path / "out", {})
    assert clips.fold_names() == []
    with pytest.raises(InputError, match="define them with folds"):
        clips.test_indices(1)


def test_a_split_without_training_clips_is_an_error(tmp_path: Path) -> None:
    clips = write_packed([row(1), row(4)], NAMES, tmp_path / "out", {})
    with pytest.raises(InputError, match="no clip to train on"):
        clips.train_indices(1)


def test_the_fingerprint_does_not_depend_on_the_folder(clips: PackedClips, tmp_path: Path) -> None:
    moved = shutil.move(clips.path, tmp_path / "elsewhere")
    assert PackedClips.open(moved).fingerprint == clips.fingerprint
    longer = [row(number) for number in range(7)]
    longer[6]["frames"][6] += b"x"
    refolded = [row(number) for number in range(6)] + [row(6, fold=2)]
    same = [row(number, source="another root") for number in range(7)]
    prints = [
        write_packed(rows, NAMES, tmp_path / name, {}).fingerprint
        for name, rows in (("longer", longer), ("refolded", refolded), ("same", same))
    ]
    assert prints[0] != clips.fingerprint
    assert prints[1] != clips.fingerprint
    assert prints[2] == clips.fingerprint


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row(1), row(1)], "clip 1 occurs twice"),
        ([row(1, class_name="joy")], "'joy' is none of happiness, sadness, fear"),
        ([row(1, frames=[])], "clip 1 has no frame"),
        ([], "no clip to pack"),
    ],
)
def test_wrong_rows_leave_nothing_behind(tmp_path: Path, rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        write_packed(rows, NAMES, tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(clips: PackedClips) -> None:
    with pytest.raises(InputError, match="already exists"):
        write_packed([row(1)], NAMES, clips.path, {})
    assert len(PackedClips.open(clips.path)) == 7


def test_a_folder_without_packed_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data prepare NAME --root DIR --out DIR"):
        PackedClips.open(tmp_path)
    with pytest.raises(InputError, match="data prepare"):
        PackedClips.open(tmp_path / "missing")


def test_other_datasets_are_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"label": [1], "text": ["a"]}).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(InputError, match="not of packed clips: no clip_id"):
        PackedClips.open(tmp_path / "other")


def test_a_damaged_folder_is_refused(clips: PackedClips) -> None:
    shard = next(clips.path.glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged"):
        PackedClips.open(clips.path)
    shard.unlink()
    with pytest.raises(InputError, match="damaged"):
        PackedClips.open(clips.path)


def test_deeply_nested_dataset_info_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")
    (tmp_path / "dataset_info.json").write_text('{"features": ' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"the packed clips in .* are damaged: "):
        PackedClips.open(tmp_path)


def test_class_names_in_both_forms_of_unicode_are_one(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFC", "gêné")
    rows = [row(0, class_name=unicodedata.normalize("NFD", name)), row(1, class_name=name)]
    clips = write_packed(rows, (name, "zu"), tmp_path / "out", {})
    assert clips.labels.tolist() == [0, 0]
    assert datasets.load_from_disk(str(clips.path))["class_name"][:] == [name, name]
