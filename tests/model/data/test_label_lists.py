"""Label lists: files, folders, globs, other locations of clips, other numbers of classes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dfer_model.data.layouts import frame_files, read_official
from dfer_model.data.packing import prepare
from dfer_model.errors import InputError

from .images import write_clip, write_video
from .trees import found, write


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
    def test_ambiguous_lists_ask_for_an_option(
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

    def test_videos_are_used_for_clips_without_frames(self, tmp_path: Path, lists: list[Path]) -> None:
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

    def test_other_image_formats_are_reported_and_not_mixed(self, tmp_path: Path, lists: list[Path]) -> None:
        write_clip(tmp_path / "data/faces/00001", 1)
        video = write_video(tmp_path / "data/clips/00002.mp4", 1)
        layout = read_official("mafw", tmp_path, labels=lists)
        assert {name: each[2] for name, each in found(layout).items()} == {"00001": "00001", "00002": ""}
        with pytest.raises(
            InputError, match=r"00002: not found under .*faces, but at .*00002\.mp4: .*--frames"
        ):
            prepare("mafw", tmp_path, tmp_path / "out", labels=lists, jobs=1)
        assert layout.clips[1].elsewhere == video

    def test_another_layout_is_suggested(self, tmp_path: Path) -> None:
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
