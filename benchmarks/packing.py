"""Speed of packing clips: run `python benchmarks/packing.py`; with --small, a tenth of the clips.

Writes 400 clips of 55 to 85 JPEG frames, 224x224 and 16 KB each like DFEW's, as folders (28,000 frames, page
cache warm). Packs them in alternating rounds in the plain way and with `data prepare --jobs 2` on two cores,
including the start of the command and of its processes. The plain way is one process that decodes every frame
with PIL, and `datasets`' from_generator and save_to_disk. Then one clip is damaged, and packing is refused
twice. The second time finds all shards packed and their files unchanged, and measures the cost of resuming.

Prints frames per second as a share of the goal of 4,000, and the ratio to the plain way; checks that both
packed the same bytes. Takes two minutes; fails (exit 1) below the goal.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image
from results import record

from dfer_model.data.packed import PackedClips

GOAL = 4000.0  # frames a second, on two cores
CORES, ROUNDS, CLIPS = 2, 3, 400
SIZE, PICTURES = 224, 64
CLASSES = ("Happy", "Sad", "Angry", "Surprise")


def picture(rng: np.random.Generator) -> bytes:
    """A JPEG of a smooth picture with fine noise, with the compression ratio of a face photograph."""
    low = rng.integers(0, 256, (SIZE // 16, SIZE // 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(low).resize((SIZE, SIZE), Image.Resampling.BICUBIC), float)
    pixels = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_clips(root: Path, clips: int) -> int:
    """Write the folders ROOT/<class>/<clip>/<frame>.jpg, and return the number of frames."""
    rng = np.random.default_rng(0)
    pictures = [picture(rng) for _ in range(PICTURES)]
    frames = 0
    for clip in range(clips):
        folder = root / CLASSES[clip % len(CLASSES)] / f"{clip:05d}"
        folder.mkdir(parents=True)
        for frame in range(55 + clip % 31):
            (folder / f"{frame + 1}.jpg").write_bytes(pictures[(7 * clip + frame) % PICTURES])
            frames += 1
    return frames


def plain(root: Path, out: Path) -> None:
    """Pack the folders in the simplest way that is correct: one process, each frame opened, `datasets`."""

    def rows() -> Iterator[dict[str, Any]]:
        for folder in sorted(root.glob("*/*"), key=lambda path: path.name):
            paths = sorted(folder.iterdir(), key=lambda path: int(path.stem))
            for path in paths:
                np.array(Image.open(path).convert("RGB"))
            yield {
                "clip_id": folder.name,
                "class_name": folder.parent.name,
                "frames": [path.read_bytes() for path in paths],
            }

    datasets.Dataset.from_generator(rows, cache_dir=str(out.with_suffix(".cache"))).save_to_disk(str(out))


def fast(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Pack the folders with the command, which may fail."""
    words = ["data", "prepare", "folder", "--root", root, "--out", out, "--jobs", CORES]
    command = [sys.executable, "-m", "dfer_prompts", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def seconds(pack: Callable[[Path, Path], object], root: Path, out: Path) -> float:
    """Duration of a packing, from nothing to a folder that can be opened."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_suffix(".cache"), ignore_errors=True)
    start = time.perf_counter()
    pack(root, out)
    return time.perf_counter() - start


def resuming(root: Path, out: Path) -> float:
    """Duration of a packing with all shards packed and one damaged clip."""
    next(root.glob("*/*/1.jpg")).write_bytes(b"")
    shutil.rmtree(out)
    fast(root, out)
    start = time.perf_counter()
    said = fast(root, out).stderr
    if "1 of" not in said:
        raise AssertionError(f"a broken frame was not refused: {said}")
    return time.perf_counter() - start


def same_bytes(plainly: Path, packed: Path) -> bool:
    """Whether both hold the same clips, frame by frame."""
    clips = PackedClips.open(packed)
    reference = datasets.load_from_disk(str(plainly))
    rows = {row["clip_id"]: row["frames"] for row in reference}
    return len(rows) == len(clips) and all(
        clips.encoded_frames(index, range(len(rows[name]))) == rows[name]
        for index, name in enumerate(clips.clip_ids)
    )


def main() -> int:
    """Write, pack in alternating rounds, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="a tenth of the clips")
    clips = CLIPS // 10 if parser.parse_args().small else CLIPS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        root, outs = Path(folder) / "root", (Path(folder) / "plain", Path(folder) / "fast")
        frames = write_clips(root, clips)
        times = [(seconds(plain, root, outs[0]), seconds(fast, root, outs[1])) for _ in range(ROUNDS)]
        equal = same_bytes(*outs)
        again = resuming(root, outs[1])
    slow, quick = (statistics.median(column) for column in zip(*times, strict=True))
    rate, ratio = frames / quick, statistics.median(a / b for a, b in times)
    print(
        f"{frames} frames of {clips} clips packed at {rate / GOAL:.2f} of the goal of {GOAL:.0f} per second"
    )
    print(f"{ratio:.1f} times the plain way; the same bytes: {'yes' if equal else 'NO'}")
    print(f"packing the same clips again takes {again / quick:.2f} of its time")
    record(
        "packing" + ("-small" if clips < CLIPS else ""),
        {
            "frames": frames,
            "processes": CORES,
            "share_of_goal": round(rate / GOAL, 2),
            "times_plain": round(ratio, 2),
            "plain_share_of_goal": round(frames / slow / GOAL, 2),
            "resuming_share_of_packing": round(again / quick, 2),
            "same_bytes": equal,
        },
    )
    return int(rate < GOAL or not equal)


if __name__ == "__main__":
    sys.exit(main())
