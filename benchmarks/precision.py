"""Does bf16 change what is learned? Run `python benchmarks/precision.py [--small]`, about four minutes.

Trains DFER-CLIP from random weights on drawn faces, all of its parts, once with `precision=fp32` and once
with `precision=bf16` for each seed, and judges both on the same fold. The tower is a vision transformer small
enough for a CPU, which takes the same path in bf16 as ViT-B/32 does. Prints the UAR of each, and the mean of
the differences with its standard error over the seeds, beside how much the seeds differ among themselves.

Fails (exit 1) where the mean difference is above twice its standard error and above one point, or where fp32
has learned too little (a UAR under 30% of seven classes) for the comparison to mean something.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
from results import record

from dfer_model.data.drawn import draw_dataset
from dfer_model.data.packed import PackedClips
from dfer_model.devices import use_one_thread
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.settings import Settings
from dfer_model.training import train_run
from dfer_prompts import load_class_set
from dfer_prompts.cli.output import progress
from dfer_prompts.studies.texts import class_texts
from dfer_prompts.versions.store import load

NAME = "small-vit-of-the-precision-benchmark"
CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
    "quick_gelu": True,
}
SETTINGS = Settings(
    clip=NAME, weights="random", frames=4, contexts=4, workers=0, epochs=12, batch_size=16, milestones=(),
    optimizer="adamw", schedule="cosine", lr_image=1e-3, lr_temporal=1e-3, lr_context=1e-3,
)  # fmt: skip
FORMATS = ("fp32", "bf16")
LEAST_UAR, POINTS = 30.0, 1.0


def register(folder: Path) -> None:
    """Make the small tower known to open_clip."""
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)


def texts() -> ClassTexts:
    """v1's descriptions of DFEW's classes."""
    return class_texts(load("v1"), load_class_set("dfew").names)


def uar(settings: Settings, clips: PackedClips, seed: int, runs: Path) -> float:
    """Of the test fold, in percent."""
    spec = RunSpec(settings, texts(), clips.path, clips.fingerprint, 1, seed)
    return train_run(spec, clips, runs, device="cpu").measures("last").uar


def judged(found: dict[str, list[float]]) -> dict[str, float]:
    """The mean difference in points, its standard error, and the spread of fp32 over its seeds."""
    difference = np.subtract(found["bf16"], found["fp32"])
    return {
        "mean_difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "spread_of_fp32_over_seeds": float(np.std(found["fp32"], ddof=1)),
    }


def main() -> int:
    """Train, print, keep, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--small", action="store_true", help="two seeds on few clips; the figures say nothing"
    )
    small = parser.parse_args().small
    seeds, count = ((1, 2), 70) if small else (tuple(range(1, 7)), 420)
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder, progress("training") as report:
        place = Path(folder)
        register(place)
        clips = draw_dataset(place / "faces", clips=count, seed=31, class_names=load_class_set("dfew").names)
        found: dict[str, list[float]] = {each: [] for each in FORMATS}
        for done, (seed, each) in enumerate(itertools.product(seeds, FORMATS)):
            report(done, len(FORMATS) * len(seeds), f"{each}, seed {seed}")
            settings = SETTINGS.model_copy(update={"precision": each})
            found[each].append(uar(settings, clips, seed, place / "runs"))
    print(f"| seed | {' | '.join(FORMATS)} |\n| --- | --- | --- |")
    for number, seed in enumerate(seeds):
        print(f"| {seed} | {found['fp32'][number]:.1f} | {found['bf16'][number]:.1f} |")
    figures = judged(found)
    for name, value in figures.items():
        print(f"{name.replace('_', ' ')}: {value:.2f}")
    if small:
        return 0
    record("precision", {"clips": count, "seeds": list(seeds), "uar": found, **figures})
    same = abs(figures["mean_difference"]) <= max(POINTS, 2 * figures["standard_error"])
    return 0 if same and np.mean(found["fp32"]) >= LEAST_UAR else 1


if __name__ == "__main__":
    sys.exit(main())
