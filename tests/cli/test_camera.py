"""`predict --camera` with a file in the camera's place: what is shown, saved, and kept when it is ended."""

from __future__ import annotations

import csv
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from ..model import tiny
from ..model.evaluation.test_classify import encode
from .test_predict import write
from .test_sigterm import terminated_when
from .test_train import Terminal

WHOLE = ("--faces", "none", "--window", "1", "--device", "cpu")


def test_camera_predictions_equal_those_of_predict(run: Terminal, isolated: Path) -> None:
    encode(isolated / "video.mkv", frames=24)
    out, _ = run(
        "predict",
        "v1@2-fold1",
        "video.mkv",
        *WHOLE,
        "--json",
        "--csv",
        "file.csv",
        "--parquet",
        "file.parquet",
    )
    expected = json.loads(out)["videos"][0]["windows"]
    assert len(expected) == 4
    words = ["predict", "v1@2-fold1", "--camera", "video.mkv", *WHOLE]
    out, _ = run(*words, "--json", "--csv", "lens.csv", "--parquet", "lens.parquet", "--save-faces", "seen")
    assert [json.loads(line) for line in out.splitlines()] == expected
    assert Path("lens.csv").read_text() == Path("file.csv").read_text()
    assert parquet.read_table("lens.parquet").equals(parquet.read_table("file.parquet"))
    frames = {f"{frame:06d}.jpg" for row in expected for frame in row["frames"]}
    assert {path.name for path in Path("seen/video.mkv/track-1").iterdir()} == frames
    out, _ = run(*words)
    first, *_, last = out.splitlines()
    name, share = next(iter(expected[0]["probabilities"].items()))
    assert first.startswith("0.0 to 1.0 s: ")
    assert f"{name} {100 * share:.0f}%" in first
    assert last.startswith("1.4 to 2.4 s: ")
    assert not list(isolated.glob("*.jpg"))


def test_on_a_terminal_a_picture_changes_and_the_last_one_stays(
    run: Terminal, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    encode(isolated / "video.mkv", frames=24)
    out, _ = run("predict", "v1@2-fold1", "--camera", "video.mkv", *WHOLE)
    *_, end = out.split("video.mkv   2.3 s   frames are taken whole")
    assert "1.4 to 2.4 s: " in end
    assert all(name in end for name in tiny.CLASSES)
    out, _ = run("predict", "v1@2-fold1", "--camera", "video.mkv", "--faces", "haar", "--window", "1")
    assert "2.3 s   no face" in out
    assert "1.4 to 2.4 s: no face" in out


def test_a_window_without_a_face(run: Terminal, isolated: Path) -> None:
    encode(isolated / "video.mkv", frames=10)
    words = ["predict", "v1@2-fold1", "--camera", "video.mkv", "--faces", "haar", "--csv", "rows.csv"]
    out, _ = run(*words, "--json")
    assert json.loads(out) == {"video": "video.mkv", "expression": None, "start": 0.0, "end": 1.0}
    assert Path("rows.csv").read_text().count("\n") == 1
    out, _ = run(*words, "--require-face", status=1)
    assert out == "0.0 to 1.0 s: no face\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be sent SIGTERM there")
def test_predictions_are_stored_if_the_camera_is_stopped(
    run: Terminal, isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows are seen on the disk while it goes on, else nothing would ever end it."""
    write(isolated / "video.mkv", [np.zeros((32, 32, 3), np.uint8)] * 3000)
    words = [
        "predict",
        "v1@2-fold1",
        "--camera",
        "video.mkv",
        "--faces",
        "none",
        "--window",
        "1",
        "--stride",
        "0.1",
    ]
    words += ["--csv", "rows.csv", "--parquet", "rows.parquet", "--device", "cpu"]
    table = isolated / "rows.csv"
    assert (
        terminated_when(lambda: table.is_file() and table.read_text().count("\n") > 3, words, monkeypatch)
        == 143
    )
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert 3 <= len(rows) < 2991
    assert parquet.read_table("rows.parquet").num_rows == len(rows)
    *_, stopped, stored = capsys.readouterr().err.splitlines()
    assert stopped.startswith("Stopped after ")
    assert stopped.endswith(f" s and {len(rows)} windows")
    assert stored == "They are stored in rows.csv and rows.parquet"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either videos or --camera"),
        (["video.mkv", "--camera", "0"], "give either videos or --camera"),
        (["--camera", "99", "--faces", "none"], "camera 99 cannot be opened"),
        (["--camera", "absent.mp4", "--faces", "none"], "no video absent.mp4"),
        (["--camera", "video.mkv", "--track", "2"], "largest or all"),
        (["--camera", "video.mkv", "--plot", "p.png"], "p.png needs a whole video"),
    ],
)
def test_options_that_make_no_sense(run: Terminal, isolated: Path, words: list[str], message: str) -> None:
    encode(isolated / "video.mkv", frames=3)
    _, err = run("predict", "v1@2-fold1", *words, "--device", "cpu", status=2)
    assert message in err
