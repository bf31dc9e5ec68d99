"""All dataset layouts of the annotations, from label files to frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN
from dfer_model.data.clip_places import ClipTree
from dfer_model.data.layouts import frame_files, natural_key, read_official
from dfer_model.errors import InputError

from .images import write_clip, write_video
from .trees import found, write


def test_names_are_sorted_naturally() -> None:
    names = ["10.jpg", "2.jpg", "1.jpg", "frame_11.png", "frame_9.png"]
    assert sorted(names, key=natural_key) == ["1.jpg", "2.jpg", "10.jpg", "frame_9.png", "frame_11.png"]


def test_desktop_files_are_no_frames(tmp_path: Path) -> None:
    for name in ("2.jpg", "10.JPG", "1.png", "._1.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in frame_files(tmp_path)] == ["1.png", "2.jpg", "10.JPG"]


def test_clips_are_found_with_and_without_zeros_and_never_outside(tmp_path: Path) -> None:
    write_clip(tmp_path / "root" / "00012", 1)
    write_clip(tmp_path / "root" / "7", 1)
    (tmp_path / "root" / "a.MP4").touch()
    (tmp_path / "outside").mkdir()
    tree = ClipTree(tmp_path / "root")
    assert tree.find(["12"]) == tmp_path / "root" / "00012"
    assert tree.find(["00007"]) == tmp_path / "root" / "7"
    assert tree.find(["A"]) == tmp_path / "root" / "a.MP4"
    assert tree.find(["8"]) is None
    assert tree.find(["..", "outside"]) is None
    (tmp_path / "root" / "12").mkdir()
    with pytest.raises(InputError, match="both match clip 12"):
        ClipTree(tmp_path / "root").find(["12"])


@pytest.mark.parametrize("place", ["Clip/clip_224x224", "clip_224x224_16f", "Clip/original", "."])
def test_dfew(tmp_path: Path, place: str) -> None:
    lists = tmp_path / "EmoLabel_DataSplit"
    write(lists / "train(single-labeled)/set_1.csv", "video_name,label\r\n00002,7\r\n00010,2\r\n")
    write(lists / "test(single-labeled)/set_1.csv", "video_name,label\r\n00001,1\r\n")
    write_clip(tmp_path / place / "00001", 2)
    write_clip(tmp_path / place / "2", 2)
    layout = read_official("dfew", tmp_path)
    assert layout.class_names == SEVEN
    assert found(layout) == {
        "00001": ("happiness", 1, "00001"),
        "00002": ("fear", 0, "2"),
        "00010": ("sadness", 0, ""),
    }
    assert "training lists read: 1" in layout.notes


def test_dfew_as_videos(tmp_path: Path) -> None:
    write(tmp_path / "EmoLabel_DataSplit/test(single-labeled)/set_2.csv", "video_name,label\n00001,7\n")
    write_video(tmp_path / "Clip/clip_224x224_avi/00001.avi", 2)
    assert found(read_official("dfew", tmp_path)) == {"00001": ("fear", 2, "00001.avi")}


def test_ferv39k(tmp_path: Path) -> None:
    write(tmp_path / "4_setups/All_scenes/train_All.csv", "Action/Sad/0010 Sad\nWar/Happy/0001 Happy\n")
    write(tmp_path / "4_setups/All_scenes/test_All.csv", "War/Sad/0001 Sad\n")
    for clip in ("Action/Sad/0010", "War/Happy/0001", "War/Sad/0001"):
        write_clip(tmp_path / "2_ClipsforFaceCrop" / clip, 1)
    assert found(read_official("ferv39k", tmp_path)) == {
        "Action/Sad/0010": ("sadness", 0, "Action/Sad/0010"),
        "War/Happy/0001": ("happiness", 0, "War/Happy/0001"),
        "War/Sad/0001": ("sadness", 1, "War/Sad/0001"),
    }


def test_ferv39k_republished_with_its_index(tmp_path: Path) -> None:
    lists = [
        write(tmp_path / "alphabetical_test.csv", "path,id\nWar/Sad/0001,5\n"),
        write(tmp_path / "alphabetical_label_index.txt", "Angry 0\r\nSad 5\r\n"),
    ]
    write_clip(tmp_path / "faces/War/Sad/0001", 1)
    layout = read_official("ferv39k", tmp_path, frames=tmp_path / "faces", labels=lists)
    assert found(layout) == {"War/Sad/0001": ("sadness", 1, "War/Sad/0001")}
    with pytest.raises(InputError, match="is a label index; give the training and test lists too"):
        read_official("ferv39k", tmp_path, labels=lists[1:])


@pytest.mark.parametrize("base", ["Train & Test Set", "split", "Train_Test_Set", "anno"])
@pytest.mark.parametrize("place", ["data/frames", "data/faces"])
def test_mafw(tmp_path: Path, base: str, place: str) -> None:
    write(tmp_path / base / "single/no_caption/set_1/train.txt", "00002.mp4 contempt\r\n")
    write(tmp_path / base / "single/no_caption/set_1/test.txt", "00001.mp4 neutral\r\n")
    write(tmp_path / base / "compound/no_caption/set_1/test.txt", "00001.mp4 anger_disgust\r\n")
    write_clip(tmp_path / place / "00001", 2, "{}.png", first=0)
    write_clip(tmp_path / place / "00002", 2)
    single = read_official("mafw", tmp_path)
    assert single.class_names == ELEVEN
    assert found(single) == {"00001": ("neutral", 1, "00001"), "00002": ("contempt", 0, "00002")}
    compound = read_official("mafw-compound", tmp_path)
    assert compound.class_names == COMPOUND
    assert found(compound) == {"00001": ("anger_disgust", 1, "00001")}


def test_mafw_with_captions_notes_the_missing_neutral(tmp_path: Path) -> None:
    rows = "1.mp4\tanger\t皱眉\tA frown.\n"
    path = tmp_path / "anno/single/with_caption/set_1/test.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(rows.encode("gbk"))
    write_video(tmp_path / "data/clips/00001.mp4", 2)
    layout = read_official("mafw", tmp_path)
    assert found(layout) == {"00001": ("anger", 1, "00001.mp4")}
    assert any("with_caption lists leave it out" in note for note in layout.notes)


@pytest.mark.parametrize("below", ["", "faces", "data/faces"])
def test_frame_lists_are_rerooted(tmp_path: Path, below: str) -> None:
    lists = [
        write(tmp_path / "MAFW_set_1_test.txt", "/somebody/data/faces/00025 3 3\n"),
        write(tmp_path / "MAFW_set_1_train.txt", "/somebody/data/faces/00026 2 10\n"),
    ]
    write_clip(tmp_path / "own" / below / "00025", 2)
    write_clip(tmp_path / "own" / below / "26", 2)
    layout = read_official("frame-list", tmp_path, frames=tmp_path / "own", labels=lists)
    assert found(layout) == {
        "00025": ("anger", 1, Path(below, "00025").as_posix()),
        "00026": ("disappointment", 0, Path(below, "26").as_posix()),
    }
    assert (layout.dataset, layout.class_names) == ("mafw", ELEVEN)
    assert [clip.listed_frames for clip in layout.clips] == [3, 2]


def test_frame_list_of_seven_classes_keeps_scenes_apart(tmp_path: Path) -> None:
    lists = [write(tmp_path / "FERV39K_test.txt", "/x/War/Sad/0001 9 1\n/x/Talk/Sad/0001 9 1\n")]
    write_clip(tmp_path / "War/Sad/0001", 1)
    write_clip(tmp_path / "Sad/0001", 1)
    layout = read_official("frame-list", tmp_path, labels=lists)
    assert layout.class_names == SEVEN
    assert found(layout) == {
        "War/Sad/0001": ("sadness", 1, "War/Sad/0001"),
        "Talk/Sad/0001": ("sadness", 1, ""),
    }


def test_a_clip_of_no_scene_is_not_the_clip_of_a_scene(tmp_path: Path) -> None:
    lists = [write(tmp_path / "FERV39K_test.txt", "/x/War/Sad/0001 9 1\n")]
    write_clip(tmp_path / "Sad/0001", 1)
    with pytest.raises(InputError, match="none of the 1 clips"):
        read_official("frame-list", tmp_path, labels=lists)


def test_missing_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no label files of mafw under .*\n.*--labels FILE"):
        read_official("mafw", tmp_path)
    write(tmp_path / "anno/single/no_caption/set_1/test.txt", "00001.mp4 neutral\n")
    with pytest.raises(
        InputError, match=r"none of the 1 clips of mafw was found .*\n.*00001; .*--frames DIR"
    ):
        read_official("mafw", tmp_path)
    with pytest.raises(InputError, match="--label-base requires the layout dfew"):
        read_official("mafw", tmp_path, label_base=0)
