"""Packing: bytes are unchanged, all problems are in one error, and packing can be resumed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from dfer_model.data.images import decode_pixels
from dfer_model.data.layouts import ClipSource, Layout
from dfer_model.data.packed import PackedClips
from dfer_model.data.packing import Request, pack, prepare, read_request
from dfer_model.data.summary import info
from dfer_model.errors import InputError, Interrupted, WorkError

from .images import encoded, write_clip, write_video


def own_folder(root: Path, clips: int = 6) -> Path:
    for number in range(clips):
        write_clip(root / ("Happy", "Sad")[number % 2] / f"clip{number}", 2 + number)
    return root


def test_frames_are_stored_byte_for_byte_in_natural_order(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "root/Happy/one", 11)
    clips = prepare("folder", tmp_path / "root", tmp_path / "out", jobs=1)
    assert clips.encoded_frames(0, range(11)) == [(folder / f"{i}.jpg").read_bytes() for i in range(1, 12)]
    assert clips.sources == ["Happy/one"]
    assert clips.name == "folder"


def test_videos_become_jpeg_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "root/Sad/film.mp4", 12)
    clips = prepare("folder", tmp_path / "root", tmp_path / "out", jobs=1)
    frames = [decode_pixels(frame) for frame in clips.encoded_frames(0, [0, 11])]
    assert clips.num_frames.tolist() == [12]
    assert frames[0].shape == (48, 64, 3)
    assert [float(frame.mean()) for frame in frames] == pytest.approx([40, 62], abs=5)


def test_the_number_of_processes_has_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfer_model.data.packing.SHARD_CLIPS", 2)
    root = own_folder(tmp_path / "root")
    seen: list[tuple[int, int]] = []
    one = prepare("folder", root, tmp_path / "one", jobs=1)
    two = prepare(
        "folder", root, tmp_path / "two", jobs=2, progress=lambda done, total, _: seen.append((done, total))
    )
    assert one.fingerprint == two.fingerprint
    assert one.clip_ids == [f"clip{i}" for i in range(6)]
    assert seen == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_same_request_again_does_nothing(tmp_path: Path) -> None:
    root = own_folder(tmp_path / "root")
    prepare("folder", root, tmp_path / "out", jobs=1)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = prepare("folder", root, tmp_path / "out", jobs=1)
    assert {path.name: path.stat().st_mtime_ns for path in again.path.iterdir()} == before
    write_clip(root / "Happy/another", 1)
    with pytest.raises(InputError, match="contains other clips already"):
        prepare("folder", root, tmp_path / "out", jobs=1)


def test_a_folder_with_other_files_is_not_changed(tmp_path: Path) -> None:
    root = own_folder(tmp_path / "root")
    (tmp_path / "out").mkdir()
    assert len(prepare("folder", root, tmp_path / "out", jobs=1)) == 6
    with pytest.raises(InputError, match="already exists and contains something else"):
        prepare("folder", root, root, jobs=1)


class TestBrokenClips:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A MAFW of five clips: one whole, one missing, one empty, one broken frame, one broken video."""
        root = tmp_path / "root"
        rows = "".join(f"{number:05d}.mp4 fear\n" for number in range(1, 6))
        lists = root / "anno/single/no_caption/set_1"
        lists.mkdir(parents=True)
        (lists / "test.txt").write_text(rows)
        write_clip(root / "data/faces/00001", 3)
        write_clip(root / "data/faces/00003", 0)
        (write_clip(root / "data/faces/00004", 3) / "2.jpg").write_bytes(encoded(3)[:-200])
        (root / "data/faces/00005.mp4").write_bytes(b"no video")
        return root

    def test_all_broken_clips_are_in_one_error(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            prepare("mafw", root, tmp_path / "out", jobs=1)
        text = str(caught.value)
        assert text.startswith("4 of 5 clips cannot be packed: 00002: not found under ")
        assert re.search(r"00003: \S+ has no image \(\.jpg, \.png, \.webp, \.bmp or \.tif\); ", text)
        assert re.search(r"00004: \S+2\.jpg is damaged or cut off; ", text)
        assert re.search(r"00005: \S+00005\.mp4 is not a video that can be read\n", text)
        assert "--skip-broken" in text.split("\n")[1]
        assert not (tmp_path / "out").exists()

    def test_skip_broken_counts_them(self, root: Path, tmp_path: Path) -> None:
        clips = prepare("mafw", root, tmp_path / "out", jobs=1, skip_broken=True)
        assert clips.clip_ids == ["00001"]
        assert [problem["clip_id"] for problem in clips.report["skipped"]] == [
            "00002",
            "00003",
            "00004",
            "00005",
        ]
        assert info(clips)["skipped"] == 4
        with pytest.raises(InputError, match="packed with --skip-broken and lacks 4 clips"):
            prepare("mafw", root, tmp_path / "out", jobs=1)
        assert len(prepare("mafw", root, tmp_path / "out", jobs=1, skip_broken=True)) == 1

    def test_repaired_clips_are_packed_on_the_next_call(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError):
            prepare("mafw", root, tmp_path / "out", jobs=1)
        (root / "data/faces/00004/2.jpg").write_bytes(encoded(9))
        clips = prepare("mafw", root, tmp_path / "out", jobs=1, skip_broken=True)
        assert clips.clip_ids == ["00001", "00004"]

    def test_no_usable_clip_is_an_error(self, root: Path, tmp_path: Path) -> None:
        shutil.rmtree(root / "data/faces/00001")
        with pytest.raises(InputError, match="every one of the 5 clips is missing, empty or broken"):
            prepare("mafw", root, tmp_path / "out", jobs=1, skip_broken=True)


def test_frame_counts_that_disagree_are_counted(tmp_path: Path) -> None:
    (tmp_path / "DFEW_set_1_test.txt").write_text("/x/00001 12 0\n/x/00002 3 1\n")
    write_clip(tmp_path / "00001", 11)
    write_clip(tmp_path / "00002", 3)
    clips = prepare("frame-list", tmp_path, tmp_path / "out", jobs=1)
    assert clips.num_frames.tolist() == [11, 3]
    assert clips.name == "dfew"
    assert clips.report["frame_count_disagreements"] == {
        "count": 1,
        "first": [{"clip_id": "00001", "listed": 12, "found": 11}],
    }


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("dfwe", {}, "no layout 'dfwe'; did you mean dfew"),
        ("folder", {"labels": [Path("x")]}, "the layout folder does not support --frames"),
        ("mafw", {"folds": 5}, "--folds requires the layout folder"),
        ("mafw", {"frames": Path("nowhere")}, "no folder nowhere"),
    ],
)
def test_conflicting_options_are_refused(tmp_path: Path, name: str, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_request(name, tmp_path, tmp_path / "out", **options)
    with pytest.raises(InputError, match="no folder"):
        read_request("mafw", tmp_path / "missing", tmp_path / "out")


def test_an_interrupt_reports_the_packed_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfer_model.data.packing.SHARD_CLIPS", 2)

    def stop(done: int, total: int, note: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    request = read_request("folder", own_folder(tmp_path / "root"), tmp_path / "out")
    with pytest.raises(Interrupted, match=r"is kept in .*partial\nThe same command continues it"):
        pack(request, jobs=1, progress=stop)
    assert len(list(request.partial.glob("clips-*.arrow"))) == 2
    seen: list[int] = []
    assert len(pack(request, jobs=1, progress=lambda done, total, note: seen.append(done))) == 6
    assert seen == [4, 6]


PROGRAM = """
import sys, time
from pathlib import Path
from dfer_model.data import packing

def say(done, total, note):
    print(done, flush=True)
    time.sleep(1)

if __name__ == "__main__":
    packing.SHARD_CLIPS = 2
    packing.prepare("folder", Path(sys.argv[1]), Path(sys.argv[2]), jobs=2, progress=say)
"""


FULL_DISK = """
import resource, signal
from pathlib import Path
from dfer_model.data import packing
from dfer_model.errors import WorkError

packing.SHARD_CLIPS = 2
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    packing.prepare("folder", Path({root!r}), Path({out!r}), jobs=1)
except WorkError as error:
    print("WorkError", error)
"""


def test_packing_resumes_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of the program in the middle; its processes end too, and the finished shards are used again."""
    root, out = own_folder(tmp_path / "root", 12), tmp_path / "out"
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(root), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if int(line) >= 4:
                break
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(running.pid, signal.SIGKILL)
    assert not out.exists()
    deadline = time.monotonic() + 60
    while any(_runs(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_runs(child) for child in children)

    monkeypatch.setattr("dfer_model.data.packing.SHARD_CLIPS", 2)
    stamps = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.partial").glob("clips-*.arrow")
    }
    assert len(stamps) >= 2
    seen: list[int] = []
    clips = prepare("folder", root, out, jobs=1, progress=lambda done, total, note: seen.append(done))
    assert seen[0] >= 4
    assert sum((out / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items()) >= 2
    assert clips.fingerprint == prepare("folder", root, tmp_path / "whole", jobs=1).fingerprint
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".arrow") == [
        "dataset_info.json",
        "index.parquet",
        "prepare.json",
        "state.json",
    ]


def _runs(process: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("change", ["written", "written as long", "gone", "come"])
def test_clips_replaced_since_their_shard_was_packed_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("dfer_model.data.packing.SHARD_CLIPS", 2)
    root = own_folder(tmp_path / "root")
    stopped = root / "Sad/clip5/1.jpg"
    content = stopped.read_bytes()
    stopped.write_bytes(b"")
    with pytest.raises(InputError, match="1 of 6 clips"):
        prepare("folder", root, tmp_path / "out", jobs=1)
    stopped.write_bytes(content)
    replaced = root / "Happy/clip0"
    if change == "written":
        (replaced / "2.jpg").write_bytes(encoded(77))
    elif change == "written as long":
        # JPEG ends with its end marker: what follows it is no part of the picture.
        size = (replaced / "2.jpg").stat().st_size
        other = encoded(77)[:size].ljust(size, b"\0")
        assert other != (replaced / "2.jpg").read_bytes()
        (replaced / "2.jpg").write_bytes(other)
    elif change == "gone":
        (replaced / "1.jpg").unlink()
    else:
        (replaced / "3.jpg").write_bytes(encoded(78))
    seen: list[int] = []
    clips = prepare(
        "folder", root, tmp_path / "out", jobs=1, progress=lambda done, total, note: seen.append(done)
    )
    assert seen == [2, 4, 6]  # the shard in the middle is as it was
    assert clips.encoded_frames(0, range(int(clips.num_frames[0]))) == [
        path.read_bytes() for path in sorted(replaced.iterdir())
    ]


def test_a_folder_is_locked_by_one_packing_process(tmp_path: Path) -> None:
    request = read_request("folder", own_folder(tmp_path / "root"), tmp_path / "out")
    request.partial.mkdir()
    with (
        FileLock(request.partial / ".lock"),
        pytest.raises(WorkError, match=r"another process is packing into .*out\nWait for it"),
    ):
        pack(request, jobs=1)
    assert not request.out.exists()
    assert len(pack(request, jobs=1)) == 6
    assert not (request.out / ".lock").exists()


def test_few_clips_are_packed_by_many_processes(tmp_path: Path) -> None:
    clips = tuple(ClipSource(f"{number:06d}", "Happy", 1, None) for number in range(12_000))
    for count, size in ((9, 10), (100, 10), (1000, 31), (12_000, 100)):
        layout = Layout("folder", ("Happy",), clips[:count], tmp_path, (), ())
        shards = Request(layout, tmp_path / "out").shards()
        assert max(len(shard.clips) for shard in shards) <= size
        assert len(shards) == -(-count // size)
        assert [clip for shard in shards for clip in shard.clips] == list(clips[:count])


def test_a_write_error_keeps_the_packed_shards(tmp_path: Path) -> None:
    """Files may grow no further than one shard's, as on a disk that fills up."""
    root, out = own_folder(tmp_path / "root"), tmp_path / "out"
    for frame in range(60):
        (root / "Sad/clip5" / f"{frame + 100}.jpg").write_bytes(encoded(9, size=(600, 600)))
    program = FULL_DISK.format(root=str(root), out=str(out))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.match(
        r"WorkError File too large; what is packed so far is kept in \S+\.out\.partial\n", ended.stdout
    )
    assert len(list((tmp_path / ".out.partial").glob("clips-*.arrow"))) == 2
    assert not out.exists()


def test_info_counts_classes_folds_and_frames(tmp_path: Path) -> None:
    root = own_folder(tmp_path / "root")
    write_clip(root / "Happy/long", 20)
    folds = "".join(f"clip{i},{i % 3}\n" for i in range(6)) + "long,2\n"
    (root / "folds.csv").write_text("clip_id,fold\n" + folds)
    facts = info(prepare("folder", root, tmp_path / "out", jobs=1))
    assert facts["clips"] == 7
    assert facts["folds"] == [0, 1, 2]
    assert facts["classes"] == [
        {"class_name": "happiness", "clips": 4, "folds": {"0": 1, "1": 1, "2": 2}},
        {"class_name": "sadness", "clips": 3, "folds": {"0": 1, "1": 1, "2": 1}},
    ]
    # frames 2..7 and 20
    assert facts["frames"] == {"total": 47, "min": 2, "median": 5.0, "max": 20, "short": 6}


def test_dfew_set_1_whole(tmp_path: Path, test_data: Path) -> None:
    """The real list over 2,341 folders; one image, linked into each."""
    image = tmp_path / "image.jpg"
    image.write_bytes(encoded(128))
    labels = test_data / "annotations/dfew/zero_based_test_set_1.csv"
    for line in labels.read_text().splitlines()[1:]:
        folder = tmp_path / "clips" / line.split(",")[0]
        folder.mkdir(parents=True)
        os.link(image, folder / "1.jpg")
    clips = prepare(
        "dfew", tmp_path / "clips", tmp_path / "out", frames=tmp_path / "clips", labels=[labels], jobs=1
    )
    facts = info(PackedClips.open(clips.path))
    assert [each["folds"]["1"] for each in facts["classes"]] == [489, 379, 534, 435, 294, 29, 181]
    assert facts["frames"]["short"] == 2341
    assert np.array_equal(clips.test_indices(1), np.arange(2341))


def test_frames_of_other_formats_are_packed_as_png(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "root" / "Happy" / "half", 1)
    Image.new("RGB", (16, 12), (60, 70, 80)).save(clip / "2.webp", lossless=True)
    Image.new("RGB", (16, 12), (90, 70, 80)).save(clip / "3.bmp")
    clips = prepare("folder", tmp_path / "root", tmp_path / "out", jobs=1)
    jpeg, webp, bmp = clips.encoded_frames(0, range(3))
    assert jpeg == (clip / "1.jpg").read_bytes()
    assert [tuple(decode_pixels(each)[0, 0]) for each in (webp, bmp)] == [(60, 70, 80), (90, 70, 80)]
    assert webp.startswith(b"\x89PNG")
