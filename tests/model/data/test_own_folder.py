"""The layout `folder`: custom clips by class folder, with or without folds.csv."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from dfer_model.data.layouts import frame_files
from dfer_model.data.own_folder import read_folder
from dfer_model.errors import InputError

from .images import write_clip, write_video
from .trees import found, write


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

    def test_other_formats_are_clips_and_skipped_files_are_reported(self, tmp_path: Path) -> None:
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

    def test_folds_are_assigned(self, tmp_path: Path) -> None:
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

    def test_invalid_folders_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="Expected: <class>/<clip id>/<frames>"):
            read_folder(tmp_path)
        write_clip(tmp_path / "Happy/a", 1)
        write_video(tmp_path / "Happy/a.mp4", 1)
        with pytest.raises(InputError, match="as a folder and as a video: Happy/a"):
            read_folder(tmp_path)
        (tmp_path / "happiness").mkdir()
        with pytest.raises(InputError, match="are the same class, happiness"):
            read_folder(tmp_path)
