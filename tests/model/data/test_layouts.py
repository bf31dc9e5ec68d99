"""Datasets as found: every layout the annotations' README names, from label files to frames."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN
from dfer_model.data.clip_places import ClipTree
from dfer_model.data.layouts import Layout, frame_files, natural_key, read_official
from dfer_model.data.own_folder import read_folder
from dfer_model.data.packing import prepare
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
    with pytest.raises(InputError, match="--label-base requires the layout dfew"):
        read_official("mafw", tmp_path, label_base=0)


class TestFoldersOfLists:
    """`--labels` takes files, folders and patterns."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """DFER-CLIP's folder of lists of three datasets with a README, and the clips of one of them."""
        for role, number in (("train", 2), ("test", 1)):
            write(tmp_path / f"annotation/DFEW_set_1_{role}.txt", f"/x/DFEW_Frame_Face/0000{number} 2 3\n")
            write(tmp_path / f"annotation/MAFW_set_1_{role}.txt", f"/x/data/faces/0000{number} 2 10\n")
            write(tmp_path / f"annotation/FERV39K_{role}.txt", f"/x/War/Angry/000{number} 2 3\n")
            write_clip(tmp_path / f"DFEW/Clip/clip_224x224/0000{number}", 2)
        write(tmp_path / "annotation/README.txt", "read me\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("labels", "name"),
        [
            (["annotation/DFEW_*"], None),
            (["annotation/DFEW_set_[1-5]_*.txt"], None),
            (["annotation"], "DFEW"),
            (["annotation/DFEW_set_1_train.txt", "annotation/DFEW_*_test.txt"], "dfew"),
        ],
    )
    def test_frame_lists(self, root: Path, labels: list[str], name: str | None) -> None:
        paths = [root / each for each in labels]
        layout = read_official("frame-list", root / "DFEW", labels=paths, dataset_name=name)
        assert found(layout) == {"00001": ("anger", 1, "00001"), "00002": ("anger", 0, "00002")}
        assert layout.dataset == "dfew"
        assert layout.frames_root == root / "DFEW/Clip/clip_224x224"

    @pytest.mark.parametrize(
        ("labels", "name", "sentence"),
        [
            (
                "annotation",
                None,
                r"are of several datasets: dfew, ferv39k, mafw\n.*--dataset-name dfew, or --labels '",
            ),
            (
                "annotation",
                "ferv39k",
                r"none of the 2 clips of frame-list .*\n.*War/Angry/0001; .*--frames DIR",
            ),
            ("annotation", "ours", "are of several datasets"),
            ("annotation/DFEW_*", "mafw", r"--dataset-name mafw contradicts the name of \S+DFEW_set_1"),
            ("annotation/CK*", None, r"no file matches --labels \S+CK\*"),
            ("DFEW", None, r"no label files in \S+DFEW: .*\n.*--labels FILE"),
        ],
    )
    def test_what_cannot_be_told_is_asked_for(
        self, root: Path, labels: str, name: str | None, sentence: str
    ) -> None:
        with pytest.raises(InputError, match=sentence):
            read_official("frame-list", root / "DFEW", labels=[root / labels], dataset_name=name)

    def test_lists_that_name_no_dataset(self, tmp_path: Path) -> None:
        lists = [write(tmp_path / "set_1/test.txt", "/x/00001 2 3\n")]
        write_clip(tmp_path / "00001", 2)
        layout = read_official("frame-list", tmp_path, labels=lists)
        assert layout.dataset == "frame-list"
        assert "set it by --dataset-name dfew, ferv39k or mafw" in layout.notes[-1]
        named = read_official("frame-list", tmp_path, labels=lists, dataset_name=" FERV39K ")
        assert (named.dataset, [note for note in named.notes if "--dataset-name" in note]) == ("ferv39k", [])
        with pytest.raises(InputError, match="--dataset-name '' is not a valid name"):
            read_official("frame-list", tmp_path, labels=lists, dataset_name="")
        with pytest.raises(InputError, match="--dataset-name requires the layout frame-list or folder"):
            read_official("mafw", tmp_path, labels=lists, dataset_name="mafw")

    def test_folders_of_mafw(self, tmp_path: Path) -> None:
        anno = tmp_path / "Train & Test Set"
        write(anno / "single/no_caption/set_1/test.txt", "1.mp4 fear\n")
        write(anno / "compound/no_caption/set_1/test.txt", "1.mp4 fear_anxiety\n")
        write_clip(tmp_path / "faces/1", 1)
        for labels in (anno, anno / "single", anno / "single/no_caption", anno / "single/no_caption/set_1"):
            assert found(read_official("mafw", tmp_path, labels=[labels])) == {"00001": ("fear", 1, "1")}

    def test_lists_of_mae_dfer(self, tmp_path: Path) -> None:
        """`path label` with labels from 0 in folders split01 ..., where val.csv is a copy of test.csv."""
        write(tmp_path / "dfew/org/split02/train.csv", "/x/Clip/jpg_256/00002 6\n/x/Clip/jpg_256/00003 0\n")
        for name in ("val", "test"):
            write(tmp_path / f"dfew/org/split02/{name}.csv", "/x/Clip/jpg_256/00001 3\n")
        for number in (1, 2, 3):
            write_clip(tmp_path / f"DFEW/Clip/jpg_256/{number:05d}", 1)
        layout = read_official("dfew", tmp_path / "DFEW", labels=[tmp_path / "dfew/org"])
        assert found(layout) == {
            "00001": ("anger", 2, "00001"),
            "00002": ("fear", 0, "00002"),
            "00003": ("happiness", 0, "00003"),
        }
        assert "the validation list of set 2 repeats its test list and is not used" in layout.notes
        assert layout.lists == {}
        with pytest.raises(
            InputError, match=r"line 1: expected 3 fields.*\n.*MAE-DFER.*dfew, ferv39k or mafw"
        ):
            read_official("frame-list", tmp_path / "DFEW", labels=[tmp_path / "dfew/org"])

    def test_numbers_of_mafw_need_an_index(self, tmp_path: Path) -> None:
        lists = [write(tmp_path / "split01/test.csv", "/x/data/frames/00001 0\n/x/data/frames/00002 10\n")]
        write_clip(tmp_path / "data/frames/00001", 1)
        with pytest.raises(InputError, match=r"line 1: label 0 is a number.*\n.*rows such as `anger 0`"):
            read_official("mafw", tmp_path, labels=lists)
        lists.append(write(tmp_path / "classes.txt", "anger 0\ndisappointment 10\n"))
        assert found(read_official("mafw", tmp_path, labels=lists)) == {
            "00001": ("anger", 1, "00001"),
            "00002": ("disappointment", 1, ""),
        }


class TestOtherFolders:
    """Folders as archives unpack, and pictures in two forms."""

    @pytest.fixture
    def lists(self, tmp_path: Path) -> list[Path]:
        return [write(tmp_path / "lists/single/no_caption/set_1/test.txt", "1.mp4 fear\n2.mp4 anger\n")]

    @pytest.mark.parametrize(
        "place",
        ["MAFW/data/faces", "data/faces/faces", "data/faces/MAFW/faces", "data/faces/extra", "MAFW"],
    )
    def test_an_extra_folder_around_the_clips(self, tmp_path: Path, lists: list[Path], place: str) -> None:
        write_clip(tmp_path / "root" / place / "00001", 1)
        write_clip(tmp_path / "root" / place / "00002", 1)
        layout = read_official("mafw", tmp_path / "root", labels=lists)
        assert {name: each[2] for name, each in found(layout).items()} == {
            "00001": "00001",
            "00002": "00002",
        }

    def test_an_extra_folder_around_all(self, tmp_path: Path) -> None:
        write(tmp_path / "DFEW/EmoLabel_DataSplit/test(single-labeled)/set_1.csv", "1,7\n")
        write_clip(tmp_path / "DFEW/Clip/clip_224x224/00001", 1)
        assert found(read_official("dfew", tmp_path)) == {"00001": ("fear", 1, "00001")}
        write(tmp_path / "copy/EmoLabel_DataSplit/test(single-labeled)/set_1.csv", "1,7\n")
        with pytest.raises(
            InputError, match=r"label files in \S+DFEW, \S+copy\nChoose one of them as --root"
        ):
            read_official("dfew", tmp_path)

    def test_an_extra_folder_in_every_clip(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "00001/00001", 2)
        assert [path.name for path in frame_files(tmp_path / "00001")] == ["1.jpg", "2.jpg"]
        (tmp_path / "empty/inner").mkdir(parents=True)
        assert frame_files(tmp_path / "empty") == []

    def test_videos_of_clips_whose_frames_are_lacking(self, tmp_path: Path, lists: list[Path]) -> None:
        write_clip(tmp_path / "data/frames/00001", 1)
        write_video(tmp_path / "data/clips/00002.mp4", 1)
        layout = read_official("mafw", tmp_path, labels=lists)
        assert {name: each[2] for name, each in found(layout).items()} == {
            "00001": "frames/00001",
            "00002": "clips/00002.mp4",
        }
        assert any(
            note.startswith("1 of 2 clips are taken from") and "data/clips, which" in note
            for note in layout.notes
        )

    def test_other_pictures_are_named_and_not_mixed_in(self, tmp_path: Path, lists: list[Path]) -> None:
        write_clip(tmp_path / "data/faces/00001", 1)
        video = write_video(tmp_path / "data/clips/00002.mp4", 1)
        layout = read_official("mafw", tmp_path, labels=lists)
        assert {name: each[2] for name, each in found(layout).items()} == {"00001": "00001", "00002": ""}
        with pytest.raises(
            InputError, match=r"00002: not found under .*faces, but at .*00002\.mp4: .*--frames"
        ):
            prepare("mafw", tmp_path, tmp_path / "out", labels=lists, jobs=1)
        assert layout.clips[1].elsewhere == video

    def test_another_layout_is_pointed_to(self, tmp_path: Path) -> None:
        write(tmp_path / "anno/compound/no_caption/set_1/test.txt", "1.mp4 fear_anxiety\n")
        with pytest.raises(InputError, match=r"no label files of mafw .*\n.*data prepare mafw-compound"):
            read_official("mafw", tmp_path)
        with pytest.raises(InputError, match=r"no label files of dfew .*\n.*data prepare mafw-compound"):
            read_official("dfew", tmp_path)
        write(tmp_path / "two/4_setups/All_scenes/test_All.csv", "A/Sad/1 Sad\n")
        with pytest.raises(InputError, match=r"no label files of mafw .*\n.*data prepare ferv39k"):
            read_official("mafw", tmp_path / "two")

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_names_in_both_forms_of_unicode(self, tmp_path: Path, form: str) -> None:
        def other(text: str) -> str:
            return unicodedata.normalize("NFC" if form == "NFD" else "NFD", text)

        name = unicodedata.normalize(form, "Zoë 1")
        write_clip(tmp_path / "faces" / name, 1)
        lists = [write(tmp_path / "set_1/test.txt", f"{other(name)}.mp4 fear\n")]
        assert found(read_official("mafw", tmp_path, labels=lists)) == {"Zoë 1": ("fear", 1, name)}


class TestOwnFolder:
    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_one_class_in_both_forms_of_unicode(self, tmp_path: Path, form: str) -> None:
        """macOS hands out names in NFD: the class, its label and its folds are the same."""
        for name in ("Gêné", "zu", "Ärger"):
            write_clip(tmp_path / unicodedata.normalize(form, f"{name}/Zoë {name}"), 1)
        write(tmp_path / "folds.csv", "clip_id,fold\nZoë Gêné,1\nZoë zu,2\nZoë Ärger,1\n")
        layout = read_folder(tmp_path)
        assert layout.class_names == ("Gêné", "zu", "Ärger")
        assert {(clip.clip_id, clip.class_name, clip.fold) for clip in layout.clips} == {
            ("Zoë Gêné", "Gêné", 1),
            ("Zoë zu", "zu", 2),
            ("Zoë Ärger", "Ärger", 1),
        }
        write_clip(tmp_path / unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Ärger/more"), 1)
        with pytest.raises(InputError, match="are the same class, Ärger"):
            read_folder(tmp_path)

    def test_ids_that_a_table_program_saved_as_floats(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "Happy/12", 1)
        write_clip(tmp_path / "Sad/7.0", 1)
        write(tmp_path / "folds.csv", "clip_id;fold\n12.0;1.0\n7.0;2.0\n")
        assert {clip.clip_id: clip.fold for clip in read_folder(tmp_path).clips} == {"12": 1, "7.0": 2}

    def test_the_dataset_can_be_named(self, tmp_path: Path) -> None:
        write_clip(tmp_path / "Happy/a", 1)
        assert read_folder(tmp_path).dataset == "folder"
        assert read_folder(tmp_path, dataset_name="DFEW").dataset == "dfew"
        assert read_folder(tmp_path, dataset_name="Our clips").dataset == "Our clips"

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
        with pytest.raises(InputError, match=r"folds\.csv already defines the folds"):
            read_folder(tmp_path, folds=2)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("clip_id,fold\na,1\n", "lacks 1 clips, such as b"),
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
        with pytest.raises(InputError, match="Expected: <class>/<clip id>/<frames>"):
            read_folder(tmp_path)
        write_clip(tmp_path / "Happy/a", 1)
        write_video(tmp_path / "Happy/a.mp4", 1)
        with pytest.raises(InputError, match="as a folder and as a video: Happy/a"):
            read_folder(tmp_path)
        (tmp_path / "happiness").mkdir()
        with pytest.raises(InputError, match="are the same class, happiness"):
            read_folder(tmp_path)
