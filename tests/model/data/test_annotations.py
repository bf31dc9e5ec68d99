"""Label files in the published formats, and refused leaks between folds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dfer_model.data.annotations import (
    LabelFile,
    read_dfew,
    read_ferv39k,
    read_frame_lists,
    read_label_file,
    read_mafw,
    read_rows,
)
from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN, canonical_name
from dfer_model.data.folds import assign_folds, deal_folds
from dfer_model.errors import InputError


def label_file(folder: Path, name: str, text: str | bytes, columns: int = 2) -> LabelFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_label_file(path, columns)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Happy", "happiness"),
        ("SAD", "sadness"),
        (" Angry ", "anger"),
        ("neutral", "neutral"),
        ("anger_disgust", "anger_disgust"),
        ("Disgust_Angry", "anger_disgust"),
        ("disappointment_sadness_helplessness", "sadness_helplessness_disappointment"),
        ("happiness_fear", None),
        ("anger_anger", None),
        ("bored", None),
        ("", None),
    ],
)
def test_class_names(text: str, name: str | None) -> None:
    assert canonical_name(text) == name


def test_there_are_43_compound_classes() -> None:
    assert len(set(COMPOUND)) == 43
    assert COMPOUND[:11] == ELEVEN


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("test(single-labeled)/set_3.csv", (True, 3)),
        ("train(single-labeled)/set_5.csv", (False, 5)),
        ("zero_based_test_set_1.csv", (True, 1)),
        ("test_All.csv", (True, 1)),
        ("set_4/train.txt", (False, 4)),
        ("split03/train.csv", (False, 3)),
        ("fold_2/test.csv", (True, 2)),
        ("Train & Test Set/set_2/test.txt", (True, 2)),
    ],
)
def test_the_role_of_a_list_is_read_from_its_name(tmp_path: Path, name: str, role: tuple[bool, int]) -> None:
    file = label_file(tmp_path, name, "00001,1\n")
    assert (file.is_test, file.number) == role


@pytest.mark.parametrize(
    "name", ["val(single-labeled)/set_3.csv", "MAFW_set_3_val.txt", "set_3/validation.txt", "set_3/dev.csv"]
)
def test_validation_lists_are_recognised_by_name(tmp_path: Path, name: str) -> None:
    file = label_file(tmp_path, name, "00001,1\n")
    assert (file.role, file.number) == ("val", 3)


@pytest.mark.parametrize("name", ["lists/all.csv", "lists/train_test.csv", "lists/train_val.csv"])
def test_an_ambiguous_role_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="training or test"):
        label_file(tmp_path, name, "00001,1\n")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("video_name,label\r\n00001,1\r\n\r\n00002,7\r\n", [("00001", "1"), ("00002", "7")]),
        ("\ufeffpath,id\nA/Sad/1,5\n", [("A/Sad/1", "5")]),
        ("my clips/1.mp4 anger\n", [("my clips/1.mp4", "anger")]),
        ('"a,b",2\n', [("a,b", "2")]),
        ("1.mp4\tanger\t中\tHe shouts, loud.\n", [("1.mp4", "anger", "中", "He shouts, loud.")]),
        ("video_name;label\n00001;1\n", [("00001", "1")]),
        ("video_name,label\n12.0,3.0\n1.5,2\n", [("12", "3"), ("1.5", "2")]),
    ],
)
def test_rows(tmp_path: Path, text: str, rows: list[tuple[str, ...]]) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    assert [fields for _, fields in read_rows(path, 2)] == rows


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    text = "1.mp4\tanger\t一位男士\ta man\n"
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "list.txt").write_bytes((mark + text).encode(encoding))
    assert read_rows(tmp_path / "list.txt", 2) == ((1, ("1.mp4", "anger", "一位男士", "a man")),)


@pytest.mark.parametrize("text", ['"a,b/25.0",12.0,3', "a,b/25 12 3", "a,b/25;12;3", "a,b/25\t12\t3"])
def test_frame_lists_between_any_separators(tmp_path: Path, text: str) -> None:
    (clips,) = read_frame_lists([label_file(tmp_path, "test.txt", text + "\n", 3)])
    expected = (("a,b", "25"), 12, "anger")
    assert [(clip.parts, clip.listed_frames, clip.class_name) for clip in clips] == [expected]


def test_gbk_is_read_where_utf8_fails(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("1.mp4\tanger\t一位男士\ta man\n".encode("gbk"))
    assert read_rows(path, 2) == ((1, ("1.mp4", "anger", "一位男士", "a man")),)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "has no row"),
        (b"path,id\n", "has no row"),
        (b"00001,1\nonlyone\n", "line 2: expected 2 fields"),
        (b"\x00\x01\x02\x00", "not a text file"),
        (b"\xff\xff\xff\xff", "not a text file"),
    ],
)
def test_files_that_are_not_lists_are_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "test.csv").write_bytes(data)
    with pytest.raises(InputError, match=sentence):
        read_label_file(tmp_path / "test.csv")
    with pytest.raises(InputError, match="no label file"):
        read_label_file(tmp_path / "test_missing.csv")


class TestDfew:
    def test_official_and_republished_files_agree(self, tmp_path: Path) -> None:
        official = label_file(tmp_path, "one/test_set_1.csv", "video_name,label\n00001,1\n2,7\n00003,4\n")
        zero = label_file(tmp_path, "zero/test_set_1.csv", "video_name,label\n00001,0\n00002,6\n3,3\n")
        expected = [("00001", "happiness"), ("00002", "fear"), ("00003", "anger")]
        for file in (official, zero):
            (clips,) = read_dfew([file])
            assert [(clip.clip_id, clip.class_name) for clip in clips] == expected

    def test_the_base_of_labels_is_inferred_from_all_files(self, tmp_path: Path) -> None:
        train = label_file(tmp_path, "train_set_1.csv", "1,7\n")
        test = label_file(tmp_path, "test_set_1.csv", "2,3\n")
        assert [clips[0].class_name for clips in read_dfew([train, test])] == ["fear", "neutral"]

    def test_ambiguous_lists_ask_for_an_option(self, tmp_path: Path) -> None:
        file = label_file(tmp_path, "test_set_1.csv", "1,3\n")
        with pytest.raises(InputError, match="--label-base"):
            read_dfew([file])
        assert read_dfew([file], 0)[0][0].class_name == "anger"
        assert read_dfew([file], 1)[0][0].class_name == "neutral"

    @pytest.mark.parametrize(
        ("text", "base", "sentence"),
        [
            ("1,0\n2,7\n", None, r"line 1\) and label 7 .*line 2\) are from different numberings"),
            ("1,0\n", 1, "--label-base 1 contradicts .*line 1"),
            ("1,7\n", 0, "--label-base 0 contradicts .*line 1"),
            ("1,7\n2,8\n", None, r"line 2: label 8 is outside 1\.\.7"),
            ("1,0\n2,-1\n", None, "line 2: label -1 is outside"),
            ("1,0\n2,bored\n", None, "line 2: 'bored' is none of the classes happiness, "),
            ("../..,0\n", None, "line 1: .* names no clip"),
        ],
    )
    def test_wrong_labels(self, tmp_path: Path, text: str, base: int | None, sentence: str) -> None:
        file = label_file(tmp_path, "test_set_1.csv", text)
        with pytest.raises(InputError, match=sentence):
            read_dfew([file], base)


class TestFerv39k:
    def test_official_and_republished_files_agree(self, tmp_path: Path) -> None:
        official = label_file(tmp_path, "test_All.csv", "Action/Sad/0010 Sad\nWar/Angry/0003 Angry\n")
        numbers = label_file(tmp_path, "test.csv", "path,id\nAction/Sad/0010,5\nWar/Angry/3,0\n")
        expected = [("Action/Sad/0010", "sadness"), ("War/Angry/0003", "anger")]
        for file in (official, numbers):
            (clips,) = read_ferv39k([file])
            assert [(clip.clip_id, clip.class_name) for clip in clips] == expected

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("Action/Sad/0010 Happy\n", "line 1: the path has Sad, the label is Happy"),
            ("A/Sad/1,5\nA/Happy/2,5\n", "line 2: label 5 is happiness by the path, sadness by .*line 1"),
            ("A/Sad/1,5\nA/Sad/2,4\n", "line 2: sadness has label 4, but also label 5"),
            ("0010 Sad\n", "expected Scene/Emotion/NNNN"),
            ("A/Bored/1 Sad\n", "'Bored' is none of the classes"),
        ],
    )
    def test_paths_and_labels_must_agree(self, tmp_path: Path, text: str, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            read_ferv39k([label_file(tmp_path, "test_All.csv", text)])

    def test_the_index_file_must_agree(self, tmp_path: Path) -> None:
        file = label_file(tmp_path, "test.csv", "A/Sad/1,5\n")
        assert read_ferv39k([file], [(1, ("Sad", "5"))])[0][0].class_name == "sadness"
        with pytest.raises(
            InputError, match="label 5 is sadness by the path, anger by the label index, line 1"
        ):
            read_ferv39k([file], [(1, ("Angry", "5"))])


def test_mafw_single_and_compound(tmp_path: Path) -> None:
    single = label_file(tmp_path, "set_1/test.txt", "00025.mp4 anger\r\n7.mp4 contempt\r\n")
    assert [(c.clip_id, c.class_name) for c in read_mafw([single], ELEVEN)[0]] == [
        ("00025", "anger"),
        ("00007", "contempt"),
    ]
    compound = label_file(tmp_path, "set_2/test.txt", "1.mp4 disgust_anger\n")
    assert read_mafw([compound], COMPOUND)[0][0].class_name == "anger_disgust"
    with pytest.raises(InputError, match=r"line 1: 'disgust_anger' is none .* mafw-compound"):
        read_mafw([compound], ELEVEN)


class TestFrameLists:
    def test_paths_counts_and_labels(self, tmp_path: Path) -> None:
        text = "/data/some body/MAFW/faces/00025 47 3\nfaces/00026 12 10\n"
        (clips,) = read_frame_lists([label_file(tmp_path, "MAFW_set_1_test.txt", text, 3)])
        assert [(c.clip_id, c.class_name, c.listed_frames) for c in clips] == [
            ("00025", "anger", 47),
            ("00026", "disappointment", 12),
        ]

    def test_ferv39k_ids_keep_scene_and_emotion(self, tmp_path: Path) -> None:
        text = "/x/2_ClipsforFaceCrop/War/Sad/0001 9 1\n/x/2_ClipsforFaceCrop/Talk/Sad/0001 9 1\n"
        (clips,) = read_frame_lists([label_file(tmp_path, "FERV39K_test.txt", text, 3)])
        assert [clip.clip_id for clip in clips] == ["War/Sad/0001", "Talk/Sad/0001"]

    def test_names_that_repeat_become_whole_paths(self, tmp_path: Path) -> None:
        (clips,) = read_frame_lists([label_file(tmp_path, "test.txt", "/r/a/1 9 1\n/r/b/1 9 1\n", 3)])
        assert [clip.clip_id for clip in clips] == ["r/a/1", "r/b/1"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("a/1 5 11\n", r"line 1: .*label 0\.\.10"),
            ("a/1 x 1\n", "line 1: expected"),
            ("a/War/Sad/1 5 0\n", "label 0 is happiness, but the path has Sad"),
        ],
    )
    def test_wrong_rows(self, tmp_path: Path, text: str, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            read_frame_lists([label_file(tmp_path, "test.txt", text, 3)])


class TestFolds:
    def folds(self, folder: Path, lists: dict[str, str]) -> dict[str, int]:
        files = [label_file(folder, name, text) for name, text in lists.items()]
        return {clip: fold for clip, (_, fold) in assign_folds(files, read_mafw(files, ELEVEN)).items()}

    def test_test_clips_of_set_n_are_fold_n(self, tmp_path: Path) -> None:
        lists = {
            "set_1/test.txt": "1.mp4 anger\n",
            "set_1/train.txt": "2.mp4 fear\n3.mp4 fear\n",
            "set_2/test.txt": "2.mp4 fear\n",
            "set_2/train.txt": "1.mp4 anger\n3.mp4 fear\n",
        }
        assert self.folds(tmp_path, lists) == {"00001": 1, "00002": 2, "00003": 0}

    @pytest.mark.parametrize(
        ("lists", "sentence"),
        [
            (
                {"set_1/train.txt": "1.mp4 fear\n", "set_1/test.txt": "2.mp4 fear\n1.mp4 fear\n"},
                r"clip 00001 leaks: set 1 both trains on it .*line 1\) and tests on it .*line 2",
            ),
            (
                {"set_1/test.txt": "1.mp4 fear\n", "set_2/test.txt": "00001.mp4 fear\n"},
                "clip 00001 is tested twice: in set 1 .* and in set 2",
            ),
            (
                {"set_1/train.txt": "1.mp4 fear\n", "set_2/train.txt": "1.mp4 anger\n"},
                "clip 00001 has two labels: fear .* and anger",
            ),
            ({"set_1/test.txt": "1.mp4 fear\n1.mp4 anger\n"}, "clip 00001 has two labels"),
            (
                {"set_1/a_test.txt": "1.mp4 fear\n", "set_1/b_test.txt": "2.mp4 fear\n"},
                "two test lists of set 1",
            ),
        ],
    )
    def test_leaks_name_the_clip(self, tmp_path: Path, lists: dict[str, str], sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            self.folds(tmp_path, lists)

    def test_assigned_folds_are_stratified_seeded_and_complete(self) -> None:
        classes = {f"c{i}": "rare" if i % 5 == 0 else "common" for i in range(50)}
        dealt = deal_folds(classes, 5, seed=3)
        assert set(dealt) == set(classes)
        assert Counter((classes[clip], fold) for clip, fold in dealt.items()) == {
            **{("rare", fold): 2 for fold in range(1, 6)},
            **{("common", fold): 8 for fold in range(1, 6)},
        }
        backwards = dict(reversed(classes.items()))
        assert deal_folds(backwards, 5, seed=3) == dealt
        assert deal_folds(classes, 5, seed=4) != dealt

    @pytest.mark.parametrize(("folds", "sentence"), [(1, "at least 2"), (3, "class b has 2 clips, fewer")])
    def test_folds_that_cannot_be_assigned_are_refused(self, folds: int, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            deal_folds({"1": "a", "2": "a", "3": "a", "4": "b", "5": "b"}, folds, 0)


class TestPublishedFiles:
    def counts(self, files: list[LabelFile], read: list) -> Counter:
        return Counter(clip.class_name for clip, _ in assign_folds(files, read).values())

    def test_dfew(self, test_data: Path) -> None:
        files = [read_label_file(test_data / "annotations/dfew/zero_based_test_set_1.csv")]
        counts = self.counts(files, read_dfew(files))
        assert [counts[name] for name in SEVEN] == [489, 379, 534, 435, 294, 29, 181]

    def test_dfew_agrees_with_the_frame_list(self, test_data: Path) -> None:
        lists = [read_label_file(test_data / "annotations/frame_lists/DFEW_set_1_test.txt", 3)]
        files = [read_label_file(test_data / "annotations/dfew/zero_based_test_set_1.csv")]
        by_list = {clip.clip_id: clip.class_name for clip in read_frame_lists(lists)[0]}
        assert by_list == {clip.clip_id: clip.class_name for clip in read_dfew(files)[0]}

    def test_ferv39k_agrees_with_the_frame_list(self, test_data: Path) -> None:
        folder = test_data / "annotations"
        index = read_rows(folder / "ferv39k/alphabetical_label_index.txt", 2)
        files = [read_label_file(folder / "ferv39k/alphabetical_test.csv")]
        read = read_ferv39k(files, index)
        counts = self.counts(files, read)
        assert sum(counts.values()) == 7847
        assert (counts["happiness"], counts["neutral"], counts["fear"]) == (1473, 1958, 431)
        lists = [read_label_file(folder / "frame_lists/FERV39K_test.txt", 3)]
        by_list = {clip.clip_id: clip.class_name for clip in read_frame_lists(lists)[0]}
        assert by_list == {clip.clip_id: clip.class_name for clip in read[0]}

    def test_mafw_single(self, test_data: Path) -> None:
        folder = test_data / "annotations/mafw/single/no_caption/set_1"
        files = [read_label_file(folder / "train.txt"), read_label_file(folder / "test.txt")]
        found = assign_folds(files, read_mafw(files, ELEVEN))
        assert Counter(fold for _, fold in found.values()) == {0: 7333, 1: 1839}
        lists = [read_label_file(test_data / "annotations/frame_lists/MAFW_set_1_test.txt", 3)]
        tested = {clip: row.class_name for clip, (row, fold) in found.items() if fold == 1}
        assert tested == {clip.clip_id: clip.class_name for clip in read_frame_lists(lists)[0]}

    def test_mafw_compound(self, test_data: Path) -> None:
        folder = test_data / "annotations/mafw"
        files = [read_label_file(folder / "compound/no_caption/set_1/test.txt")]
        counts = self.counts(files, read_mafw(files, COMPOUND))
        assert set(counts) == set(COMPOUND)
        assert (sum(counts.values()), counts["anger_disgust"]) == (1818, 177)
        head = read_rows(folder / "compound_with_caption_head_gbk.txt", 4)
        assert head[0][1][:2] == ("00108.mp4", "anger")
        assert head[0][1][2].startswith("一位男士瞪着对方")
