"""Small datasets in the folders that DFEW, FERV39k and MAFW are distributed in, with frames of noise."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

SIDE = 64
MAFW_CLASSES = [
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
]
DFEW_NUMBERS = (1, 2, 3, 4, 5, 6, 7)  # happy, sad, neutral, angry, surprise, disgust, fear
FERV39K_NAMES = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")


def write_frames(folder: Path, frames: int, seed: int, *, padded: bool = True, suffix: str = "jpg") -> None:
    """`frames` pictures of seeded noise: 00001.jpg ..., or 1.jpg ... unpadded."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(1, frames + 1):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        name = f"{number:05d}" if padded else str(number)
        coarse.resize((SIDE, SIDE)).save(folder / f"{name}.{suffix}")


def write_video(path: Path, frames: int = 30, seed: int = 0) -> None:
    """An MPEG-4 video of seeded noise."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            pixels = np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())


def write_mafw(root: Path, *, folds: int = 5, video: Path | None = None) -> None:
    """MAFW with one clip of each class in each fold; `video` is where to put one clip more, as a file."""
    by_fold: dict[int, list[str]] = {fold: [] for fold in range(1, folds + 1)}
    number = 0
    for fold, lines in by_fold.items():
        for name in MAFW_CLASSES:
            number += 1
            lines.append(f"{number:05d}.mp4 {name}")
            write_frames(root / "data" / "frames" / f"{number:05d}", 8 + number % 20, number, suffix="png")
        split = root / "Train & Test Set" / "single" / "no_caption" / f"set_{fold}"
        split.mkdir(parents=True)
    for fold in by_fold:
        split = root / "Train & Test Set" / "single" / "no_caption" / f"set_{fold}"
        others = [line for other, lines in by_fold.items() if other != fold for line in lines]
        (split / "test.txt").write_bytes("".join(f"{line}\r\n" for line in by_fold[fold]).encode())
        (split / "train.txt").write_bytes("".join(f"{line}\r\n" for line in others).encode())
    if video:
        write_video(video)


def write_dfew(root: Path, *, folds: int = 5, per_class: int = 1) -> None:
    """DFEW in its official form: 1-based labels, ids padded to five."""
    by_fold: dict[int, list[tuple[str, int]]] = {}
    number = 0
    for fold in range(1, folds + 1):
        by_fold[fold] = []
        for label in DFEW_NUMBERS * per_class:
            number += 1
            by_fold[fold].append((f"{number:05d}", label))
            write_frames(root / "Clip" / "clip_224x224" / f"{number:05d}", 10 + number % 12, number)
    for part, chosen in (
        ("test", lambda fold, other: fold == other),
        ("train", lambda fold, other: fold != other),
    ):
        folder = root / "EmoLabel_DataSplit" / f"{part}(single-labeled)"
        folder.mkdir(parents=True)
        for fold in by_fold:
            rows = [row for other, rows in by_fold.items() if chosen(fold, other) for row in rows]
            lines = ["video_name,label", *(f"{clip},{label}" for clip, label in rows)]
            (folder / f"set_{fold}.csv").write_text("\n".join(lines) + "\n")


def write_dfew_lists(root: Path, frame_lists: Path, clip_lists: Path) -> None:
    """Lists of the DFEW at `root` as in DFER-CLIP's code (`frame_lists`) and MAE-DFER (`clip_lists`)."""
    frame_lists.mkdir(parents=True)
    for source in sorted(root.glob("EmoLabel_DataSplit/*/set_*.csv")):
        part, fold = source.parent.name.split("(")[0], int(source.stem.removeprefix("set_"))
        rows = [line.split(",") for line in source.read_text().splitlines()[1:]]
        frames = root / "Clip" / "clip_224x224"
        (frame_lists / f"DFEW_set_{fold}_{part}.txt").write_text(
            "".join(
                f"{frames / clip} {len(list((frames / clip).iterdir()))} {label}\n" for clip, label in rows
            )
        )
        split = clip_lists / f"split{fold:02d}"
        split.mkdir(parents=True, exist_ok=True)
        for name in ("test", "val") if part == "test" else ("train",):
            (split / f"{name}.csv").write_text(
                "".join(f"{frames / clip} {int(label) - 1}\n" for clip, label in rows)
            )


def write_ferv39k(root: Path, *, train_per_class: int = 3, test_per_class: int = 1) -> None:
    """FERV39k in its official form: no header, a space between path and name."""
    splits = root / "4_setups" / "All_scenes"
    splits.mkdir(parents=True)
    number = 0
    for part, count in (("train", train_per_class), ("test", test_per_class)):
        lines = []
        for name in FERV39K_NAMES * count:
            number += 1
            clip = f"Action/{name}/{number:04d}"
            lines.append(f"{clip} {name}")
            write_frames(root / "2_ClipsforFaceCrop" / clip, 8 + number % 16, number, padded=False)
        (splits / f"{part}_All.csv").write_text("\n".join(lines) + "\n")
