"""Packed clips from other people: metadata are checked when they are opened."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dfer_model.data.index import read_index
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_index, write_packed
from dfer_model.data.shards import SCHEMA
from dfer_model.errors import InputError

NAMES = ("happiness", "sadness", "fear")


def row(number: int) -> dict[str, Any]:
    frames = [bytes([number, frame]) * (frame + 1) for frame in range(number + 1)]
    return {
        "clip_id": f"clip {number}",
        "class_name": NAMES[number % 3],
        "fold": number % 3,
        "source": "s",
        "frames": frames,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(write_packed(map(row, range(6)), NAMES, tmp_path / "out", {"dataset": "tiny"}).path)


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    (path,) = folder.glob("*.arrow")
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_stream(source).read_all()
    changed = change(table)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, changed.schema) as writer:
        writer.write_table(changed)


def put(name: str, values: Any, kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        array = values if isinstance(values, pa.Array) else pa.array(values, kind or SCHEMA.field(name).type)
        return table.set_column(table.column_names.index(name), name, array)

    return change


# Where the lists of the six clips end among the frames, and where the first six frames end among the bytes.
LISTS, FRAMES = (0, 1, 3, 6, 10, 15, 21), (0, 2, 4, 8, 10, 14, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("label", [0, 1, 2, 0, 1, 99]), "'clip 5' has the label 99"),
        (put("label", [0, 1, 2, 0, 1, -1]), "'clip 5' has the label -1"),
        (put("label", [0, 1, 2, 0, 1, None]), "label has 1 missing"),
        (put("label", [0, 1, 2, 0, 1, 1]), "'clip 5' of class 'fear' has the label of 'sadness'"),
        (put("class_name", ["fear"] * 6), "'clip 0' of class 'fear' has the label of 'happiness'"),
        (put("clip_id", ["a", "b", "c", "a", "d", "e"]), "'a' occurs twice"),
        (put("clip_id", ["a", "b", "c", None, "d", "e"]), "clip_id has 1 missing"),
        (put("num_frames", [1, 2, 3, 4, 5, 7]), "'clip 5' has a number of frames that differs"),
        (put("num_frames", [1, 2, 3, 4, 5, -6]), "'clip 5' has the num_frames -6"),
        (put("fold", [0, 1, 2, 0, 1, -2]), "'clip 5' has the fold -2"),
        (put("frames", [[b"x"]] * 5 + [None]), "frames has 1 missing"),
        (put("frames", [[b"x"]] * 5 + [[None]]), "a frame is missing"),
        (put("frames", [["x"]] * 6, pa.list_(pa.string())), "frames has the type list<item: string>"),
        (put("label", ["0"] * 6, pa.string()), "label has the type string"),
        (lambda table: table.slice(0, 0), "it holds no clip"),
    ],
)
def test_metadata_of_packed_clips_are_checked(
    folder: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    rewritten(folder, change)
    with pytest.raises(InputError, match="are damaged") as caught:
        PackedClips.open(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("offsets", "place", "value"),
    [(LISTS, 6, 10**9), (LISTS, 3, -5), (LISTS, 3, 11), (FRAMES, 5, 10**9), (FRAMES, 5, -1), (FRAMES, 4, 1)],
)
def test_offsets_beyond_the_file_are_refused(
    folder: Path, offsets: tuple[int, ...], place: int, value: int
) -> None:
    (path,) = folder.glob("*.arrow")
    wrong = [*offsets[:place], value, *offsets[place + 1 :]]
    old, new = (np.array(each, np.int32).tobytes() for each in (offsets, wrong))
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InputError, match="are damaged"):
        PackedClips.open(folder)


def test_other_column_types_of_equal_values_are_accepted(folder: Path) -> None:
    frames = [row(number)["frames"] for number in range(6)]
    rewritten(folder, put("frames", frames, pa.large_list(pa.large_binary())))
    rewritten(folder, put("label", [0, 1, 2, 0, 1, 2], pa.int8()))
    (folder / "index.parquet").unlink()
    clips = PackedClips.open(folder)
    assert clips.encoded_frames(5, [5, 0]) == [frames[5][5], frames[5][0]]
    assert clips.labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("name", ["../elsewhere.arrow", "/etc/passwd", "", "..", "a\\b", 3, None])
def test_state_json_names_only_files_of_its_folder(folder: Path, name: object) -> None:
    (shard,) = folder.glob("*.arrow")
    (folder.parent / "elsewhere.arrow").write_bytes(shard.read_bytes())
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError, match="not in its folder"):
        PackedClips.open(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", "[" * 100_000),
        ("dataset_info.json", '{"a":' * 100_000),
        ("state.json", "[]"),
        ("state.json", '{"_data_files": [1]}'),
        ("dataset_info.json", '{"features": {"label": {"_type": "ClassLabel", "names": ["a", "a", "b"]}}}'),
        ("dataset_info.json", '{"features": {"label": {"_type": "ClassLabel", "names": [1, 2, 3]}}}'),
    ],
)
def test_descriptions_of_the_folder_are_checked(folder: Path, file: str, content: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(InputError, match="are damaged"):
        PackedClips.open(folder)


@pytest.mark.parametrize(
    "content", ['{"skipped": 3}', '{"notes": "x"}', "[" * 100_000, "[1]", '{"shards": [1]}']
)
def test_prepare_json_is_checked(folder: Path, content: str) -> None:
    (folder / "prepare.json").write_text(content)
    clips = PackedClips.open(folder)
    with pytest.raises(InputError, match=r"prepare\.json is damaged"):
        assert clips.report is None


def test_clips_are_pickled_without_frames(folder: Path) -> None:
    clips = PackedClips.open(folder)
    sent = pickle.dumps(clips)
    assert row(5)["frames"][5] not in sent
    assert pickle.loads(sent).encoded_frames(5, [5]) == [row(5)["frames"][5]]


def test_every_file_of_clips_is_verified(folder: Path) -> None:
    reports: list[tuple[int, int, str]] = []
    assert PackedClips.open(folder).verify(lambda *each: reports.append(each)) == 1
    (shard,) = folder.glob("*.arrow")
    assert reports == [(1, 1, shard.name)]
    content = shard.read_bytes()
    place = content.index(b"\x05\x05" * 6)
    shard.write_bytes(content[:place] + b"\x04" + content[place + 1 :])
    damaged = PackedClips.open(folder)
    with pytest.raises(InputError, match=rf"{shard.name} differ from the sha256 in prepare\.json"):
        damaged.verify(lambda *_: None)


def test_clips_of_an_earlier_version_have_no_digests(folder: Path) -> None:
    (folder / "prepare.json").write_text('{"dataset": "tiny"}')
    clips = PackedClips.open(folder)
    assert clips.verify(lambda *_: None) == 0


def changed_index(folder: Path, column: str, values: list[Any], **shaping: Any) -> None:
    """The index with another column, as a program without digests would write it."""
    path = folder / "index.parquet"
    table = pq.read_table(path)
    printed = json.loads(table.schema.metadata[b"packed_clips"]) | shaping
    at = table.column_names.index(column)
    table = table.set_column(at, column, pa.array(values, table.schema.types[at]))
    pq.write_table(table.replace_schema_metadata({b"packed_clips": json.dumps(printed)}), path)


@pytest.mark.parametrize(
    ("column", "values", "shaping"),
    [
        ("label", [0, 1, 2, 0, 1, 9], {}),
        ("clip_id", ["a"] * 6, {}),
        ("num_frames", [1, 2, 3, 4, 5, 0], {}),
        ("label", [0, 1, 2, 0, 1, None], {}),
        ("shard", [0, 0, 0, 0, 0, 7], {}),
        ("shard", [0] * 6, {"shard_names": ["../other.arrow"]}),
        ("shard", [0] * 6, {"report": 3}),
    ],
)
def test_an_index_is_checked(folder: Path, column: str, values: list[Any], shaping: dict[str, Any]) -> None:
    changed_index(folder, column, values, **shaping)
    with pytest.raises(InputError, match="not an index of packed clips"):
        read_index(folder)


def test_an_index_of_other_clips_is_refused(folder: Path) -> None:
    changed_index(folder, "shard", [0] * 6, fingerprint="other")
    clips = PackedClips.open(folder)
    with pytest.raises(InputError, match="is of other clips"):
        assert clips.shards is None
    write_index(clips)
    assert PackedClips.open(folder).shards.tolist() == [0] * 6
