"""MAFW's captions beside packed clips: read from the with_caption lists, written as a table."""

from __future__ import annotations

import csv
from pathlib import Path

from dfer_model.data.captions import read_captions
from dfer_model.data.packing import prepare

from .images import write_clip

ROWS = {
    "train": '00002.mp4\tcontempt\t撇嘴，"哼"\tA man says "hm", with a sneer.\r\n',
    "test": "00003.mp4\tanger\t皱眉\tA frown.\r\n",
}


def mafw(root: Path) -> Path:
    """MAFW with three clips; the with_caption lists, in GBK, leave the neutral one out."""
    lists = root / "Train & Test Set/single/no_caption/set_1"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00002.mp4 contempt\r\n")
    (lists / "test.txt").write_text("00001.mp4 neutral\r\n00003.mp4 anger\r\n")
    for number in range(1, 4):
        write_clip(root / f"data/faces/{number:05}", 2)
    return root


def add_captions(root: Path) -> None:
    lists = root / "Train & Test Set/single/with_caption/set_1"
    lists.mkdir(parents=True)
    for name, row in ROWS.items():
        (lists / f"{name}.txt").write_bytes(row.encode("gbk"))


def table(folder: Path) -> list[list[str]]:
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


EXPECTED = [
    ["clip_id", "class_name", "fold", "source", "description"],
    ["00002", "contempt", "0", "MAFW captions, Chinese", '撇嘴，"哼"'],
    ["00002", "contempt", "0", "MAFW captions, English", 'A man says "hm", with a sneer.'],
    ["00003", "anger", "1", "MAFW captions, Chinese", "皱眉"],
    ["00003", "anger", "1", "MAFW captions, English", "A frown."],
]


def test_captions_are_written_beside_the_clips(tmp_path: Path) -> None:
    root = mafw(tmp_path / "root")
    add_captions(root)
    prepare("mafw", root, tmp_path / "out", jobs=1)
    assert table(tmp_path / "out") == EXPECTED


def test_clips_that_are_packed_already_get_them_and_stay_the_same(tmp_path: Path) -> None:
    root = mafw(tmp_path / "root")
    without = prepare("mafw", root, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out/captions.csv").exists()
    add_captions(root)
    again = prepare("mafw", root, tmp_path / "out", jobs=1)
    assert table(tmp_path / "out") == EXPECTED
    assert again.fingerprint == without.fingerprint
    assert again.verify(lambda *_: None) == 1


def test_lists_with_captions_alone_are_read_too(tmp_path: Path) -> None:
    root = mafw(tmp_path / "root")
    add_captions(root)
    (root / "Train & Test Set/single/no_caption").rename(tmp_path / "elsewhere")
    clips = prepare("mafw", root, tmp_path / "out", jobs=1)
    assert clips.clip_ids == ["00002", "00003"]
    assert table(tmp_path / "out") == EXPECTED


def test_the_published_captions_are_read(test_data: Path) -> None:
    path = test_data / "annotations/mafw/compound_with_caption_head_gbk.txt"
    captions = read_captions("mafw-compound", [path])
    assert len(captions) == 20
    chinese, english = captions["00108"]
    assert chinese.startswith("一位男士瞪着对方")
    assert english.startswith("A man stares at the other and questions. The tightened eyelids")
    assert read_captions("dfew", [path]) == {}
