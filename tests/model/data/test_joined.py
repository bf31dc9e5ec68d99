"""Several datasets as one: clips keep their frames, folds and votes, also in a worker."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from dfer_model.data.joined import JoinedClips
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError

from .. import tiny

CLASSES = ("fear", "happiness")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[PackedClips]:
    """Datasets of two folds and of none, with ids that occur in both and other frames."""
    folder = tmp_path_factory.mktemp("joined")
    one = tiny.pack(folder / "one", name="one")
    return [one, tiny.pack(folder / "two", name="one", classes=("fear", "happiness"), folds=0, per_class=3)]


def joined(datasets: list[PackedClips]) -> JoinedClips:
    mapping = {name: name for name in CLASSES}
    return JoinedClips(datasets, [mapping, mapping], CLASSES)


def test_each_clip_has_the_frames_and_the_label_of_its_own(datasets: list[PackedClips]) -> None:
    # As a worker receives them.
    clips = pickle.loads(pickle.dumps(joined(datasets)))
    assert clips.names == ("one", "one-2")
    expected = {
        f"{name}/{clip_id}": (own.encoded_frames(index, [0, 2]), own.class_name_of(index))
        for name, own in zip(clips.names, datasets, strict=True)
        for index, clip_id in enumerate(own.clip_ids)
        if own.class_name_of(index) in CLASSES
    }
    found = {
        clip_id: (clips.encoded_frames(index, [0, 2]), clips.class_name_of(index))
        for index, clip_id in enumerate(clips.clip_ids)
    }
    assert found == expected
    assert len(found) == 8 + 6


def test_a_dataset_without_folds_is_for_training(datasets: list[PackedClips]) -> None:
    clips = joined(datasets)
    assert clips.fold_names() == [1, 2]
    tested = {clips.clip_ids[index] for index in clips.test_indices(2)}
    assert tested == {"one/happiness-1", "one/happiness-3", "one/fear-1", "one/fear-3"}
    trained = {clips.clip_ids[index] for index in clips.train_indices(2)}
    assert len(trained) == 4 + 6
    assert not trained & tested
    assert "one-2 has no folds: all of its clips are for training" in clips.fold_notes(2)


def test_the_order_and_the_classes_define_the_fingerprint(datasets: list[PackedClips]) -> None:
    clips = joined(datasets)
    mapping = {name: name for name in CLASSES}
    other_order = JoinedClips(datasets[::-1], [mapping, mapping], CLASSES)
    other_labels = JoinedClips(datasets, [mapping, mapping], CLASSES[::-1])
    assert len({clips.fingerprint, other_order.fingerprint, other_labels.fingerprint}) == 3
    assert joined(datasets).fingerprint == clips.fingerprint


def test_clips_of_several_datasets_are_not_streamed(datasets: list[PackedClips], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sampling=streamed requires one dataset"):
        _ = joined(datasets).shards
