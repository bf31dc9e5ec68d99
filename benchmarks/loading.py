"""Speed of reading clips: run `python benchmarks/loading.py [--small]`, about three minutes.

Draws clips of 64 to 100 JPEG frames of 224x224, as folders and packed. The plain way opens the 16 frames of a
folder with Pillow and crops, resizes and flips each, to float32 in 0..1, in a DataLoader. It is compared with
batches of finished uint8 frames, and with batches whose crop, resize and flip are left to the device. All use
two workers, files in the page cache, and alternating rounds; ratios are medians. Counts the files that each
way opens, and the growth of the main process over the last half of an epoch.

Fails (exit 1) below 2.5 times the clips per second for finished batches, 5 times for decoded ones, above a
tenth of the files opened, or if the main process grows by more than 16 MiB.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import record
from torch.utils.data import DataLoader, Dataset

from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset, DecodedClips, clip_generator
from dfer_model.data.loaders import Batches, Shuffled
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.data.sampling import sample_train

SIZE, FRAMES, BATCH, WORKERS = 224, 16, 8, 2
GOALS = {"finished": 2.5, "decoded": 5.0}
OPENS_GOAL, GROWTH_GOAL_MIB = 0.1, 16
opened = torch.zeros((), dtype=torch.int64).share_memory_()  # by all processes together
counting = torch.zeros((), dtype=torch.bool).share_memory_()


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    """Files that Python opens; pyarrow maps the packed ones into memory once, before any count."""
    if event == "open" and counting and str(arguments[0]).endswith((".jpg", ".arrow")):
        opened.add_(1)


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """Folders of frames; each frame is opened, cropped, resized and flipped separately."""

    def __init__(self, root: Path, clips: PackedClips) -> None:
        self.folders = [root / clip_id for clip_id in clips.clip_ids]
        self.clips, self.train = clips, Augmentation()

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        paths = sorted(self.folders[position].iterdir())
        rng = clip_generator(1, 0, self.clips.clip_ids[position])
        chosen = sample_train(len(paths), FRAMES, rng)
        draw = self.train.draw(SIZE, SIZE, rng)
        top, left, height, width = draw.crop
        frames = []
        for frame in chosen:
            with Image.open(paths[frame]) as image:
                cut = image.convert("RGB").crop((left, top, left + width, top + height))
            square = cut.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            if draw.flip:
                square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            frames.append(torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255)
        return torch.stack(frames), int(self.clips.labels[position])


def frames_of(number: int) -> list[bytes]:
    """A clip of 64 to 100 frames: a picture of coarse blocks under noise that moves a pixel a frame."""
    rng = np.random.default_rng(number)
    blocks = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).resize((300, 300))
    noise = rng.integers(0, 12, (300, 300, 3), dtype=np.uint8)
    large = Image.fromarray((np.asarray(blocks) // 2 + noise).astype(np.uint8))
    encoded = []
    for frame in range(int(rng.integers(64, 101))):
        stream = io.BytesIO()
        large.crop((frame % 70, frame % 50, frame % 70 + SIZE, frame % 50 + SIZE)).save(
            stream, "JPEG", quality=90
        )
        encoded.append(stream.getvalue())
    return encoded


def make(root: Path, count: int) -> PackedClips:
    """The clips, packed and as folders."""

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(count):
            frames = frames_of(number)
            folder = root / "folders" / f"{number:04d}"
            folder.mkdir(parents=True)
            for place, data in enumerate(frames):
                (folder / f"{place:04d}.jpg").write_bytes(data)
            yield {"clip_id": folder.name, "class_name": "a", "fold": 1, "source": "", "frames": frames}

    return write_packed(rows(), "a", root / "packed", {"dataset": "benchmark"})


def resident_mib() -> float:
    """Private resident memory of this process."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * 4096 / 2**20


def clips_per_second(batches: Iterable[Any]) -> float:
    """Of a whole pass, with running workers."""
    started, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch["label"] if isinstance(batch, dict) else batch[0])
    return count / (time.perf_counter() - started)


def opens(batches: Iterable[Any]) -> int:
    """The files that a pass opens."""
    opened.zero_()
    counting.fill_(True)
    list(batches)
    counting.fill_(False)
    return int(opened)


def growth_mib(batches: Batches) -> float:
    """Growth of the main process from the middle of a pass to its end."""
    held = []
    for batch in batches:
        del batch
        held.append(resident_mib())
    return max(held[len(held) // 2 :]) - held[len(held) // 2 - 1]


def ways(clips: PackedClips, root: Path) -> dict[str, Any]:
    """The plain loader and ours, by name."""
    made: dict[str, Any] = {
        "plain": DataLoader(
            Plain(root / "folders", clips),
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )
    }
    for name, kind in (("finished", ClipDataset), ("decoded", DecodedClips)):
        dataset = kind(clips, range(len(clips)), frames=FRAMES, image_size=SIZE, train=Augmentation(), seed=1)
        made[name] = Batches(dataset, BATCH, workers=WORKERS, sampler=Shuffled(dataset, 1))
    return made


def measured(clips: PackedClips, root: Path, rounds: int) -> dict[str, float]:
    """Ratios to the plain way, and the growth in MiB."""
    loaders = ways(clips, root)
    counts = {name: opens(loader) for name, loader in loaders.items()}  # also warms the page cache
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(rounds):
        for name, loader in loaders.items():
            speeds[name].append(clips_per_second(loader))
    found = {
        name: statistics.median(
            fast / plain for fast, plain in zip(speeds[name], speeds["plain"], strict=True)
        )
        for name in GOALS
    }
    found |= {f"{name} file opens": counts[name] / counts["plain"] for name in GOALS}
    return found | {"growth MiB": growth_mib(loaders["finished"])}


def main() -> int:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="Few clips and rounds; stores no figures.")
    small = parser.parse_args().small
    torch.set_num_threads(1)
    sys.addaudithook(_count)
    with tempfile.TemporaryDirectory() as folder:
        clips = make(Path(folder), 32 if small else 160)
        found = measured(clips, Path(folder), 1 if small else 5)
    print("| against the plain way | clips per second | files opened |")
    print("| --- | --- | --- |")
    for name, goal in GOALS.items():
        print(f"| {name} (goal {goal}) | {found[name]:.2f} | {found[f'{name} file opens']:.3f} |")
    print(f"the main process grows by {found['growth MiB']:.1f} MiB over half an epoch")
    if not small:
        record("loading", {name: round(value, 3) for name, value in found.items()})
    well = all(
        found[name] >= goal and found[f"{name} file opens"] <= OPENS_GOAL for name, goal in GOALS.items()
    )
    return 0 if well and found["growth MiB"] <= GROWTH_GOAL_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
