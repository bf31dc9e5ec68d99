"""Datasets as found: every layout the annotations' README names, from label files to frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN
from dfer_model.data.layouts import ClipTree, Layout, frame_files, natural_key, read_official
from dfer_model.data.own_folder import read_folder
from dfer_model.errors import InputError

from .images import write_clip, write_video


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def found(layout: Layout) -> dict[str, tuple[str, int, str]]:
    """Clip id -> class, fold, place below the frames' root."""
    return {
        clip.clip_id: (
            clip.class_name,
            clip.fold,
            clip.path.relative_to(layout.frames_root).as_posix() if clip.path else "",
        )
        for clip in layout.clips
    }


def test_names_sort_as_people_count() -> None:
    names = ["10.jpg", "2.jpg", "1.jpg", "frame_11.png", "frame_9.png"]
    assert sorted(names, key=natural_key) == ["1.jpg", "2.jpg", "10.jpg", "frame_9.png", "frame_11.png"]


def test_frames_of_a_folder_without_what_desktops_leave(tmp_path: Path) -> None:
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
    with pytest.raises(InputError, match="may both be clip 12"):
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


def test_mafw_with_captions_says_that_neutral_is_left_out(tmp_path: Path) -> None:
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


def test_what_is_not_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no label files of mafw under .*\n.*--labels FILE"):
        read_official("mafw", tmp_path)
    write(tmp_path / "anno/single/no_caption/set_1/test.txt", "00001.mp4 neutral\n")
    with pytest.raises(
        InputError, match=r"none of the 1 clips of mafw was found .*\n.*00001; .*--frames DIR"
    ):
        read_official("mafw", tmp_path)
    with pytest.raises(InputError, match="--label-base is for dfew"):
        read_official("mafw", tmp_path, label_base=0)


class TestOwnFolder:
    def test_classes_aliases_and_videos(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "Happy/anna 1", 1)
        write_clip(tmp_path / "bored/ben", 1)
        write_video(tmp_path / "angry/carl.mp4", 1)
        (tmp_path / "logs").mkdir()
        layout = read_folder(tmp_path)
        assert layout.class_names == ("happiness", "anger", "bored")
        assert found(layout) == {
            "anna 1": ("happiness", 0, "Happy/anna 1"),
            "ben": ("bored", 0, "bored/ben"),
            "carl": ("anger", 0, "angry/carl.mp4"),
        }
        assert "never tested" in layout.notes[0]

    def test_other_videos_and_pictures_are_clips_and_what_is_left_out_is_named(self, tmp_path: Path) -> None:
        for name in ("a.ts", "b.MTS", "c.m2ts", "d.gif", "e.3gp", "f.ogv", "g.vob", "h.mxf", "i.avi"):
            write(tmp_path / "Happy" / name, "video")
        still, moving = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "red")
        still.save(tmp_path / "Happy/still.webp")
        still.save(tmp_path / "Happy/moving.webp", save_all=True, append_images=[moving])
        write(tmp_path / "Happy/notes.txt", "")
        clip = write_clip(tmp_path / "Sad/half", 2)
        for name in ("3.webp", "4.bmp", "5.tif", "6.json", ".DS_Store"):
            write(clip / name, "")
        write(tmp_path / "loose.mp4", "")
        layout = read_folder(tmp_path)
        assert {each.clip_id for each in layout.clips} == {*"abcdefghi", "half", "moving"}
        assert [path.name for path in frame_files(clip)] == ["1.jpg", "2.jpg", "3.webp", "4.bmp", "5.tif"]
        assert layout.notes[1:] == (
            "left out 3 files that are neither a clip's video nor its folder: loose.mp4, Happy/notes.txt, "
            "Happy/still.webp",
            "left out 1 files in clip folders that are no frames: Sad/half/6.json",
        )

    def test_names_in_two_classes_become_paths(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "Happy/1", 1)
        write_clip(tmp_path / "Sad/1", 1)
        write(tmp_path / "folds.csv", "clip_id,fold\nHappy/1,1\nSad/1,2\n")
        assert found(read_folder(tmp_path)) == {
            "Happy/1": ("happiness", 1, "Happy/1"),
            "Sad/1": ("sadness", 2, "Sad/1"),
        }

    def test_dealt_folds(self, tmp_path: Path) -> None:
        for name in ("happy", "sad"):
            for number in range(4):
                write_clip(tmp_path / name / f"{name}{number}", 1)
        clips = read_folder(tmp_path, folds=2, seed=1).clips
        counts = {(clip.class_name, clip.fold) for clip in clips}
        assert counts == {(name, fold) for name in ("happiness", "sadness") for fold in (1, 2)}
        write(tmp_path / "folds.csv", "clip_id,fold\nhappy0,1\n")
        with pytest.raises(InputError, match=r"folds\.csv says the folds already"):
            read_folder(tmp_path, folds=2)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("clip_id,fold\na,1\n", "leaves out 1 clips, b among them"),
            ("clip_id,fold\na,1\nb,2\nc,1\n", "line 4: no clip 'c'"),
            ("a,1\nb,one\n", "line 2: fold 'one' is not a number"),
            ("a,1\na,2\nb,1\n", "line 2: clip a is in fold 2 and in fold 1"),
        ],
    )
    def test_folds_file_must_agree_with_the_clips(self, tmp_path: Path, text: str, sentence: str) -> None:
        write_clip(tmp_path / "Happy/a", 1)
        write_clip(tmp_path / "Sad/b", 1)
        write(tmp_path / "folds.csv", text)
        with pytest.raises(InputError, match=sentence):
            read_folder(tmp_path)

    def test_folders_that_are_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="Expected in it: <class>/<clip id>/<frames>"):
            read_folder(tmp_path)
        write_clip(tmp_path / "Happy/a", 1)
        write_video(tmp_path / "Happy/a.mp4", 1)
        with pytest.raises(InputError, match="as a folder and as a video: Happy/a"):
            read_folder(tmp_path)
        (tmp_path / "happiness").mkdir()
        with pytest.raises(InputError, match="are the same class, happiness"):
            read_folder(tmp_path)
