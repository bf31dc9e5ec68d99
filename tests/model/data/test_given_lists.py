"""Training and validation lists of a dataset are packed, used, and reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dfer_model.comparison.screening.screener import choosing_splits
from dfer_model.data.packed import PackedClips
from dfer_model.data.packing import prepare
from dfer_model.data.splits import training_clips
from dfer_model.data.streaming import StreamedClips
from dfer_model.errors import InputError

from .. import tiny
from .images import write_clip

CLASSES = ("anger", "fear")


def mafw(root: Path, lists: dict[str, str], clips: int = 8) -> Path:
    """A MAFW of `clips` clips, odd ones of anger; `lists` has the numbers of the clips in "1/train" etc."""
    for name, numbers in lists.items():
        path = root / f"anno/single/no_caption/set_{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{n}.mp4 {CLASSES[int(n) % 2 == 0]}\n" for n in numbers.split()))
    for number in range(1, clips + 1):
        write_clip(root / f"data/faces/{number:05d}", 1)
    return root


def packed(folder: Path, lists: dict[str, str]) -> PackedClips:
    return prepare("mafw", mafw(folder / "root", lists), folder / "packed", jobs=1)


def ids(clips: PackedClips, indices: np.ndarray) -> str:
    return " ".join(str(int(clips.clip_ids[index])) for index in indices)


WHOLE = {"1/train": "3 4 5 6 7 8", "1/test": "1 2", "2/train": "1 2 5 6 7 8", "2/test": "3 4"}
CLEANED = WHOLE | {"1/train": "3 4 5 6 7"}
WITH_VALIDATION = WHOLE | {"1/train": "3 4 5 6", "1/val": "7 8"}


@pytest.mark.parametrize(
    ("lists", "fold", "train", "val"),
    [
        (WHOLE, 1, "3 4 5 6 7 8", ""),
        (CLEANED, 1, "3 4 5 6 7", ""),
        (CLEANED, 2, "1 2 5 6 7 8", ""),
        (WITH_VALIDATION, 1, "3 4 5 6", "7 8"),
        (WITH_VALIDATION, 2, "1 2 5 6 7 8", ""),
        # without a training list all clips are trained on that are neither tested nor validated on
        ({"1/test": "1 2", "1/val": "3 4", "2/train": "5 6"}, 1, "5 6", "3 4"),
    ],
)
def test_a_fold_trains_on_its_own_list(
    tmp_path: Path, lists: dict[str, str], fold: int, train: str, val: str
) -> None:
    clips = packed(tmp_path, lists)
    streamed = StreamedClips.open((tmp_path / "packed").as_uri())
    for each in (clips, PackedClips.open(tmp_path / "packed"), streamed):
        assert ids(each, each.train_indices(fold)) == train
        assert ids(each, each.val_indices(fold)) == val


def test_lists_that_disagree_with_the_rule_are_named_and_change_the_fingerprint(tmp_path: Path) -> None:
    whole, cleaned = packed(tmp_path / "whole", WHOLE), packed(tmp_path / "cleaned", CLEANED)
    assert "lists" not in whole.report
    assert not [note for note in whole.report["notes"] if "follows its training list" in note]
    assert cleaned.report["lists"] == {"1": {"left_out": ["00008"], "validation": []}}
    assert (
        "fold 1 follows its training list, which leaves out 1 clip that the fold does not test: 00008"
        in cleaned.report["notes"]
    )
    assert cleaned.fingerprint != whole.fingerprint
    # without the lists they are the same clips, as they were packed before lists were kept
    report = cleaned.report | {"lists": {}}
    (tmp_path / "cleaned/packed/prepare.json").write_text(json.dumps(report))
    assert PackedClips.open(tmp_path / "cleaned/packed").fingerprint == whole.fingerprint


def test_other_lists_need_another_folder(tmp_path: Path) -> None:
    packed(tmp_path, WHOLE)
    with pytest.raises(InputError, match="contains other clips already"):
        prepare("mafw", mafw(tmp_path / "root", CLEANED, clips=0), tmp_path / "packed", jobs=1)


def test_select_val_uses_the_given_validation_list(tmp_path: Path) -> None:
    clips = packed(tmp_path, WITH_VALIDATION)
    given = training_clips(clips, tiny.settings(select="val"), 1, 1)
    assert (ids(clips, given.train), ids(clips, given.val)) == ("3 4 5 6", "7 8")
    last = training_clips(clips, tiny.settings(), 1, 1)
    assert (ids(clips, last.train), ids(clips, last.val)) == ("3 4 5 6", "")
    # fold 2 has no validation list: a share of its training clips chooses
    drawn = training_clips(clips, tiny.settings(select="val", val_share=0.4), 2, 1)
    assert len(drawn.val) == 3
    assert set(ids(clips, drawn.val).split()) < {"1", "2", "5", "6", "7", "8"}


def test_clips_outside_the_lists_are_not_validation_clips(tmp_path: Path) -> None:
    clips = packed(tmp_path, CLEANED)
    (split,) = choosing_splits(clips, [1], 0.5)
    assert (ids(clips, split.learn), ids(clips, split.test_positions)) == ("5 6 7", "3 4")


def test_a_validation_list_that_repeats_the_test_list_is_not_used(tmp_path: Path) -> None:
    clips = packed(tmp_path, WHOLE | {"1/val": "1 2"})
    assert ids(clips, clips.val_indices(1)) == ""
    assert ids(clips, clips.train_indices(1)) == "3 4 5 6 7 8"
    assert "the validation list of set 1 repeats its test list and is not used" in clips.report["notes"]


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        ({"1/val": "2 3"}, r"clip 00002 leaks: set 1 both validates on it \(.*val\.txt, .* and tests on it"),
        ({"1/val": "5"}, r"clip 00005 leaks: set 1 both trains on it .* and validates on it"),
    ],
)
def test_a_clip_in_two_lists_of_a_set_is_refused(
    tmp_path: Path, lists: dict[str, str], sentence: str
) -> None:
    base = {"1/train": "5 6", "1/test": "1 2"}
    with pytest.raises(InputError, match=sentence):
        packed(tmp_path, base | lists)


@pytest.mark.parametrize("lists", [[1], {"one": {}}, {"1": {"left_out": [3], "validation": []}}, {"1": None}])
def test_damaged_lists_are_refused(tmp_path: Path, lists: object) -> None:
    clips = packed(tmp_path, CLEANED)
    report = json.dumps(clips.report | {"lists": lists})
    (tmp_path / "packed/prepare.json").write_text(report)
    with pytest.raises(InputError, match=r"the training lists of the packed clips in .* are damaged"):
        PackedClips.open(tmp_path / "packed").train_indices(1)
