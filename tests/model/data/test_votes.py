"""Annotators' votes: read from tables and compound lists, stored in the index, and used as targets."""

from __future__ import annotations

import json
import math
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from dfer_model.config import Settings
from dfer_model.data.joined import JoinedClips
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_index
from dfer_model.data.packing import prepare
from dfer_model.data.streaming import StreamedClips
from dfer_model.errors import InputError
from dfer_model.progress import silent
from dfer_model.training.loop import train_epoch
from dfer_model.training.losses import LossFunction
from dfer_model.training.setup import Training
from dfer_prompts.cli import main

from .. import tiny
from .images import write_clip
from .trees import write

SEVEN = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
HEAD = "order,1happy,2sad,3neutral,4angry,5surprise,6disgust,7fear,label"
# Ten votes for each of five clips, of which clip 5 is not in the lists.
VOTES = {1: "7,0,2,0,1,0,0", 2: "0,10,0,0,0,0,0", 3: "0,0,8,2,0,0,0", 4: "1,1,0,8,0,0,0", 5: "1,1,2,2,2,1,1"}
LABELS = {1: 1, 2: 2, 3: 3, 4: 4}  # DFEW's numbers


def dfew(root: Path) -> Path:
    """Clips 1 to 4 of DFEW; the odd ones are the test clips of fold 1."""
    for name, odd in (("train", 0), ("test", 1)):
        rows = "".join(f"{n:05d},{label}\n" for n, label in LABELS.items() if n % 2 == odd)
        extra = "00006,7\n" if name == "train" else ""  # the numbering begins with 1
        write(
            root / f"EmoLabel_DataSplit/{name}(single-labeled)/set_1.csv", f"video_name,label\n{rows}{extra}"
        )
    for number in (*LABELS, 6):
        write_clip(root / f"Clip/clip_224x224/{number:05d}", 2)
    return root


def table(path: Path, head: str = HEAD) -> Path:
    return write(path, "\n".join([head, *(f"{n},{votes},0" for n, votes in VOTES.items())]) + "\n")


def sheet(path: Path) -> Path:
    """The table as an .xlsx file: texts are shared strings, numbers are values."""
    texts = HEAD.split(",")
    cells = [[f'<c r="{chr(65 + i)}1" t="s"><v>{i}</v></c>' for i in range(len(texts))]]
    for row, (number, votes) in enumerate(VOTES.items(), start=2):
        # Zeros are empty cells, which spreadsheets leave out.
        values = [str(number), *votes.split(",")]
        cells.append([f'<c r="{chr(65 + i)}{row}"><v>{v}</v></c>' for i, v in enumerate(values) if v != "0"])
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rows = "".join(f"<row>{''.join(each)}</row>" for each in cells)
    with zipfile.ZipFile(path, "w") as archive:
        strings = "".join(f"<si><t>{each}</t></si>" for each in texts)
        archive.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
        archive.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>"
        )
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    folder = tmp_path_factory.mktemp("dfew")
    return prepare("dfew", dfew(folder / "root"), folder / "packed", jobs=1, votes=[table(folder / "v.csv")])


def by_clip(clips: PackedClips) -> dict[str, list[float]]:
    assert clips.votes is not None
    return dict(zip(clips.clip_ids, clips.votes.tolist(), strict=True))


EXPECTED = {
    **{f"{n:05d}": [float(each) for each in VOTES[n].split(",")] for n in LABELS},
    "00006": [0, 0, 0, 0, 0, 0, 1],  # without votes: one for its label
}


def test_the_votes_of_a_table_are_a_column_of_the_index(packed: PackedClips) -> None:
    assert by_clip(packed) == EXPECTED
    assert by_clip(PackedClips.open(packed.path)) == EXPECTED
    rows = pq.read_table(Path(packed.path) / "index.parquet").select(["clip_id", "votes"]).to_pylist()
    assert {row["clip_id"]: row["votes"] for row in rows} == EXPECTED
    assert "4 of 5 clips have votes; the others have one vote for their label" in packed.report["notes"]


def test_streamed_clips_have_the_votes_of_the_index(packed: PackedClips) -> None:
    streamed = StreamedClips.open(f"file://{packed.path}")
    assert by_clip(streamed) == EXPECTED
    assert streamed.fingerprint == packed.fingerprint


def test_a_new_index_keeps_the_votes(packed: PackedClips) -> None:
    write_index(PackedClips.open(packed.path))
    assert by_clip(PackedClips.open(packed.path)) == EXPECTED


@pytest.mark.parametrize("form", ["xlsx", "semicolons", "names", "index column"])
def test_forms_of_the_table(tmp_path: Path, form: str) -> None:
    path = table(tmp_path / "votes.csv")
    if form == "xlsx":
        path = sheet(tmp_path / "annotation.xlsx")
    elif form == "semicolons":
        path.write_text(path.read_text().replace(",", ";"))
    elif form == "index column":
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([f",{head}", *(f"{n},{row}" for n, row in enumerate(rows, start=70))]))
    else:
        table(path, "clip,happiness,Sad,neutral,anger,surprise,disgust,fearful,label")
    clips = prepare("dfew", dfew(tmp_path / "root"), tmp_path / "packed", jobs=1, votes=[path])
    assert by_clip(clips) == EXPECTED


def test_compound_labels_have_a_vote_for_each_part(tmp_path: Path) -> None:
    root = tmp_path / "root"
    lists = {"train": "1.mp4 anger\n2.mp4 sadness\n", "test": "3.mp4 fear\n"}
    for name, text in lists.items():
        write(root / f"split/single/no_caption/set_1/{name}.txt", text)
    for number in (1, 2, 3):
        write_clip(root / f"data/frames/{number:05d}", 1)
    write(root / "split/compound/no_caption/set_1/train.txt", "1.mp4 anger_disgust\n2.mp4 sadness\n")
    write(root / "split/compound/no_caption/set_1/test.txt", "00003.mp4 Fear_Surprise_Anxiety\n9.mp4 anger\n")
    clips = prepare("mafw", root, tmp_path / "packed", jobs=1, votes=[root / "split/compound"])
    voted = {
        clip: {clips.class_names[place] for place, vote in enumerate(votes) if vote}
        for clip, votes in by_clip(clips).items()
    }
    assert voted == {
        "00001": {"anger", "disgust"},
        "00002": {"sadness"},
        "00003": {"fear", "surprise", "anxiety"},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clip,1happy,2sad\n1,9,1\n", "has no column of votes for neutral, anger"),
        (f"{HEAD}\n1,x,0,2,0,1,0,0,1\n", "row 2: 'x' is not a number of votes"),
        (f"{HEAD}\n1,0,0,0,0,0,0,0,1\n", "row 2: expected a clip and its votes"),
        (f"{HEAD}\n77,10,0,0,0,0,0,0,1\n", "has votes for none of the clips"),
        (f"{HEAD}\n1,0,10,0,0,0,0,0,1\n", "1 of 1 clips have no vote for their label"),
        ("1 bliss\n", "'bliss' is no label of the classes"),
    ],
)
def test_a_file_without_usable_votes_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path / "votes.csv", text)
    with pytest.raises(InputError, match=says):
        prepare("dfew", dfew(tmp_path / "root"), tmp_path / "packed", jobs=1, votes=[path])
    assert not (tmp_path / "packed").exists()


def test_clips_without_votes_are_as_before(tmp_path: Path, packed: PackedClips) -> None:
    root = dfew(tmp_path / "root")
    plain = prepare("dfew", root, tmp_path / "packed", jobs=1)
    assert plain.votes is None
    assert "votes" not in plain.report
    assert "votes" not in pq.read_schema(tmp_path / "packed/index.parquet").names
    assert plain.fingerprint != packed.fingerprint
    with pytest.raises(InputError, match="contains other clips already"):
        prepare("dfew", root, tmp_path / "packed", jobs=1, votes=[table(tmp_path / "votes.csv")])


def test_an_index_without_the_votes_is_damaged(tmp_path: Path) -> None:
    clips = prepare(
        "dfew", dfew(tmp_path / "root"), tmp_path / "packed", jobs=1, votes=[table(tmp_path / "v.csv")]
    )
    plain = prepare("dfew", tmp_path / "root", tmp_path / "plain", jobs=1)
    shutil.copy(Path(plain.path) / "index.parquet", Path(clips.path) / "index.parquet")
    assert len(PackedClips.open(clips.path)) == 5  # other uses do not read the index
    with pytest.raises(InputError, match="lacks the votes"):
        _ = PackedClips.open(clips.path).votes


def test_the_targets_of_a_batch_are_the_shares_of_the_votes(packed: PackedClips, tmp_path: Path) -> None:
    texts = replace(tiny.TEXTS, class_names=SEVEN, texts=(("a face.",),) * 7)
    spec = replace(
        tiny.spec(packed, targets="distribution", loss="focal", mixup=0.2, accumulate=2, batch_size=3),
        texts=texts,
    )
    training = Training(spec, packed, tmp_path, torch.device("cpu"))
    training.start_epoch(1)
    (batch,) = training.batches
    _, targets = training.inputs(batch)
    shares = dict(zip([packed.clip_ids[each] for each in batch["index"]], targets.tolist(), strict=True))
    assert shares == {
        "00002": [0, 1, 0, 0, 0, 0, 0],
        "00004": pytest.approx([0.1, 0.1, 0, 0.8, 0, 0, 0]),
        "00006": [0, 0, 0, 0, 0, 0, 1],
    }
    assert math.isfinite(train_epoch(training, 1, silent))


def test_the_loss_of_votes_by_hand() -> None:
    # One clip with 7 votes of 10 for the first of two classes: -(0.7 log p + 0.3 log(1 - p)).
    logits, shares = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.7, 0.3]])
    p = math.e / (math.e + 1)
    loss = LossFunction(Settings(targets="distribution"), torch.tensor([5, 5]))(logits, shares)
    assert float(loss) == pytest.approx(-0.7 * math.log(p) - 0.3 * math.log(1 - p))
    assert float(loss) == pytest.approx(0.6132617)


def test_votes_of_a_held_out_class_are_left_out(packed: PackedClips, tmp_path: Path) -> None:
    texts = replace(tiny.TEXTS, class_names=SEVEN, texts=(("a face.",),) * 7)
    changed = {"targets": "distribution", "held_out": "sadness", "context_kind": "unified"}
    training = Training(
        replace(tiny.spec(packed, **changed), texts=texts), packed, tmp_path, torch.device("cpu")
    )
    assert training.distributions is not None
    # 8 and 1 votes, and 1 for the class that is left out
    row = training.distributions[packed.clip_ids.index("00004")].tolist()
    assert row == pytest.approx([1 / 9, 0, 8 / 9, 0, 0, 0])


def test_votes_are_joined_by_class_name(packed: PackedClips, tmp_path: Path) -> None:
    classes = ("sadness", "happiness", "neutral", "anger", "fear")
    mapping = {name: name for name in classes}
    path = write(tmp_path / "votes.csv", "clip,happy,sad\n1,3,1\n2,1,4\n")
    for name, clip in (("happy", 1), ("sad", 2)):
        write_clip(tmp_path / f"own/{name}/{clip}", 1)
    own = prepare("folder", tmp_path / "own", tmp_path / "other", jobs=1, votes=[path])
    joined = JoinedClips([packed, own], [mapping, mapping], classes)
    assert by_clip(joined) == {
        "00001": [0, 7, 2, 0, 0],  # its vote for surprise is left out
        "00002": [10, 0, 0, 0, 0],
        "00003": [0, 0, 8, 2, 0],
        "00004": [1, 1, 0, 8, 0],
        "00006": [0, 0, 0, 0, 1],
        "1": [1, 3, 0, 0, 0],
        "2": [4, 1, 0, 0, 0],
    }
    without = tiny.pack(tmp_path / "without")
    assert JoinedClips([packed, without], [mapping, mapping], classes).votes is None


def test_votes_from_the_command_line(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == status, err
        return err if status else out

    training = ["train", "--descriptions", "v1@2", "--device", "cpu", "--track", "none", "--epochs", "1"]
    training += ["--clip", tiny.register(), "--weights", "random", "--set", "frames=2", "--set", "workers=0"]
    training += ["--set", "contexts=2", "--set", "targets=distribution", "--json"]
    table(isolated / "votes.csv")
    prepare_words = ("data", "prepare", "dfew", "--root", dfew(isolated / "root"), "--jobs", 1)
    run(*prepare_words, "--out", "packed", "--votes", "votes.csv")
    said = json.loads(run(*training, "--dataset", "packed"))
    assert math.isfinite(json.loads((Path(said["folder"]) / "metrics.jsonl").read_text())["loss"])
    run(*prepare_words, "--out", "plain")
    says = run(*training, "--dataset", "plain", status=2)
    assert "plain have no votes" in says
