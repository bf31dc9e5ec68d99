"""`data prepare`, `data info`, `data draw` from the command line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_prompts.cli import main


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of the command."""
    monkeypatch.setattr("sys.argv", ["dfer-prompts", *words])
    monkeypatch.setenv("COLUMNS", "200")
    try:
        main()
        status: Any = 0
    except SystemExit as stopped:
        status = stopped.code
    out, err = capsys.readouterr()
    return int(status or 0), out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Any:
    return lambda *words: run(monkeypatch, capsys, *map(str, words))


@pytest.fixture
def own(isolated: Path) -> Path:
    """Three classes of four clips, clip i with 14 + i frames."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 90, 90)).save(stream, "JPEG")
    for number in range(12):
        folder = isolated / "own" / ("Happy", "Sad", "bored")[number % 3] / f"clip{number}"
        folder.mkdir(parents=True)
        for frame in range(14 + number % 4):
            (folder / f"{frame}.jpg").write_bytes(stream.getvalue())
    return isolated / "own"


def test_prepare_and_info(own: Path, command: Any) -> None:
    status, out, err = command(
        "data", "prepare", "folder", "--root", own, "--out", "clips", "--folds", 2, "--jobs", 1
    )
    assert status == 0
    assert "packing folder: 12/12" in err
    assert re.search(r"happiness +2 +2 +4\b", out)
    assert re.search(r"all +6 +6 +12\b", out)
    assert "Frames per clip: 14 to 17, median 15.5; 186 in all; 6 clips have fewer than 16." in out

    status, out, _ = command("data", "info", "clips", "--json")
    output = json.loads(out)
    assert status == 0
    assert [each["class_name"] for each in output["classes"]] == ["happiness", "sadness", "bored"]
    assert output["classes"][2]["folds"] == {"1": 2, "2": 2}
    assert output["frames"] == {"total": 186, "min": 14, "median": 15.5, "max": 17, "short": 6}


def test_info_verifies_every_file(own: Path, command: Any) -> None:
    command("data", "prepare", "folder", "--root", own, "--out", "clips", "--jobs", 1)
    status, out, _ = command("data", "info", "clips", "--verify")
    assert (status, "Verified: the sha256 of 2 files matches prepare.json." in out) == (0, True)
    assert json.loads(command("data", "info", "clips", "--verify", "--json")[1])["verified_files"] == 2
    shard = sorted(Path("clips").glob("*.arrow"))[1]
    content = bytearray(shard.read_bytes())
    content[content.rindex(b"\xff\xd9") - 1] ^= 1  # in the last frame's picture
    shard.write_bytes(content)
    assert command("data", "info", "clips")[0] == 0
    status, out, err = command("data", "info", "clips", "--verify", "--json")
    assert (status, out) == (2, "")
    assert f"{shard.name} differ from the sha256 in prepare.json" in err


def test_a_folder_that_cannot_be_created_is_named(own: Path, command: Any) -> None:
    out = "c" * 250  # the hidden folder beside it has a longer name, which no file system takes
    for words in (("prepare", "folder", "--root", own, "--jobs", 1), ("draw", "--clips", 55)):
        status, _, err = command("data", *words, "--out", out)
        assert status == 1
        assert err.splitlines()[-1] == f"Error: File name too long: {Path(out).resolve()}"


def test_prepare_prints_json_alone_and_does_nothing_twice(own: Path, command: Any) -> None:
    words = ("data", "prepare", "folder", "--root", own, "--out", "clips", "--jobs", 1, "--json")
    first = command(*words)
    second = command(*words)
    assert json.loads(first[1]) == json.loads(second[1])
    assert json.loads(first[1])["notes"] == ["no folds: every clip is in fold 0, which is never tested"]
    assert "packed already, with the same clips" in second[2]


def test_out_is_below_the_workspace(own: Path, command: Any, tmp_path: Path) -> None:
    status, _, _ = command(
        "--workspace", tmp_path, "data", "prepare", "folder", "--root", own, "--out", "clips", "--jobs", 1
    )
    assert status == 0
    assert len(PackedClips.open(tmp_path / "clips")) == 12


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("prepare", "foldr", "--root", "own", "--out", "x"), "no layout 'foldr'; did you mean folder?"),
        (("prepare", "dfew", "--root", "nowhere", "--out", "x"), "no folder nowhere"),
        (("prepare", "dfew", "--root", "own", "--out", "x"), "no label files of dfew under own"),
        (("prepare", "folder", "--root", "own", "--out", "own"), "contains something else"),
        (
            ("prepare", "folder", "--root", "own", "--out", "x", "--folds", "9"),
            "has 4 clips, fewer than the 9",
        ),
        (("info", "own"), "holds no packed clips"),
        (("info", "nowhere"), "no dataset 'nowhere'"),
    ],
)
def test_wrong_input_is_an_error(own: Path, command: Any, words: tuple[str, ...], sentence: str) -> None:
    status, out, err = command("data", *words)
    assert status == 2
    assert out == ""
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2


def test_broken_clips_are_named_and_skipped_on_demand(own: Path, command: Any) -> None:
    (own / "Happy" / "clip0" / "3.jpg").write_bytes(b"")
    (own / "Sad" / "nothing").mkdir()
    words = ("data", "prepare", "folder", "--root", own, "--out", "clips", "--jobs", 1)
    status, _, err = command(*words)
    assert status == 2
    assert "2 of 13 clips cannot be packed: clip0: " in err
    assert "3.jpg is empty; nothing: " in err
    status, out, _ = command(*words, "--skip-broken")
    assert status == 0
    assert "Left out as missing, empty or broken: 2 (named in prepare.json)." in out


def test_the_dataset_of_frame_lists_is_named(own: Path, command: Any) -> None:
    lists = own.parent / "lists" / "set_1"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("/x/clip0 14 0\n")
    (lists / "train.txt").write_text("/x/clip3 17 0\n")
    words = ("data", "prepare", "frame-list", "--root", own / "Happy")
    words += ("--labels", lists.parent / "*" / "t*.txt")
    status, out, _ = command(*words, "--out", "clips", "--dataset-name", "DFEW", "--jobs", 1)
    assert status == 0
    assert "Clips of dfew" in out
    assert PackedClips.open(Path("clips")).name == "dfew"
    status, _, err = command(*words, "--out", "clips", "--dataset-name", "mafw", "--jobs", 1)
    assert (status, "contains other clips already" in err) == (2, True)


def test_draw(command: Any) -> None:
    words = ("data", "draw", "--out", "drawn", "--clips", 55, "--seed", 2, "--size", 16, "--json")
    status, out, _ = command(*words)
    assert status == 0
    output = json.loads(out)
    assert output["clips"] == 55
    assert output["folds"] == [1, 2, 3, 4, 5]
    assert len(output["classes"]) == 11
    status, _, err = command(*words)
    assert status == 2
    assert "already exists" in err


def test_clips_elsewhere_and_clips_without_an_index(isolated: Path, own: Path, command: Any) -> None:
    made = command("data", "prepare", "folder", "--root", own, "--out", "clips", "--folds", 2, "--jobs", 1)
    url = f"file://{isolated}/clips"
    status, out, _ = command("data", "info", url)
    assert status == 0
    assert out == made[1].replace(str(isolated / "clips"), url)

    (isolated / "clips" / "index.parquet").unlink()
    status, _, err = command("data", "info", url)
    assert status == 2
    assert err.splitlines() == [
        f"Error: there is no {url}/index.parquet",
        "Create it where the packed clips are: dfer-prompts data index DIR",
    ]
    assert command("data", "index", "clips")[0] == 0
    (isolated / "dfer.yaml").write_text(f"datasets:\n  far: {url}\n")
    status, out, _ = command("data", "info", "far", "--json")
    assert status == 0
    assert json.loads(out)["path"] == url
