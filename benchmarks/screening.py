"""How much faster a screening is than fine-tuning the same grid: 8 sets x 3 seeds x 10 epochs, ViT-B/32.

    python benchmarks/screening.py [--small] [--device cpu|cuda]

The plain way fine-tunes each run by itself, in fp32 and batches of 48 clips of 16 frames, the image tower
among what is trained, all 77 text positions computed in every step. A screening computes the features of all
clips once, each in its views, and trains all 24 models on them. Neither way's time is waited for: the parts
are measured, a few clips through the image tower with and without its gradient, the text tower, a step of
all 24 models, their answers, and the grid's time is made of them. What is left out is left out of the plain
way alone (its optimiser, its judging) or of both (reading and decoding).

The parts take turns, round by round, so that what else the machine does meets both ways; the figure is the
median of the rounds' ratios. About 5 minutes on two cores, with `--small` 2. Exits 1 below 50 times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from results import record
from torch import Tensor

from dfer_model.comparison.screening.feature_training import Together
from dfer_model.comparison.screening.features import KeptFeatures
from dfer_model.comparison.screening.screener import MOST_BYTES, VIEWS
from dfer_model.comparison.screening.stacked import groups
from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.models.clip import Clip, load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.runs import ClassTexts
from dfer_model.synthetic.drawn_faces import CLASS_NAMES, draw_dataset

GOAL = 50
SETS, SEEDS, EPOCHS = 8, 3, 10
LEARN, JUDGE = 480, 120  # clips, one fold of five
CLIPS = 4  # through the image tower at once
POSITIONS = 77
PARTS = {
    "brows": ("raised", "furrowed", "lowered", "relaxed"),
    "eyes": ("wide", "narrowed", "teary", "calm"),
    "mouth": ("open", "tight", "smiling", "drooping"),
    "cheeks": ("raised", "sunken", "flat", "blushing"),
    "chin": ("trembling", "firm", "tucked", "level"),
}


def described(number: int) -> ClassTexts:
    """A set that says five things of each class, as the paper's does."""
    rng = np.random.default_rng(number)
    texts = tuple((", ".join(f"{rng.choice(PARTS[part])} {part}" for part in PARTS),) for _ in CLASS_NAMES)
    return ClassTexts(f"set{number}", f"{number:064d}", tuple(CLASS_NAMES), texts)


class PlainParts:
    """What one step of the plain way is made of."""

    def __init__(self, clip: Clip, settings: Settings, device: torch.device) -> None:
        torch.manual_seed(1)
        texts = described(0)
        self.model = DferClip(clip, texts.texts, settings, class_names=texts.class_names).to(device)
        size = clip.image_size
        self.frames = torch.randn(CLIPS, settings.frames, 3, size, size, device=device)

    def visual(self) -> None:
        """Frames to video features and back."""
        self.model.video_features(self.model.frame_features(self.frames)).sum().backward()

    def text(self) -> None:
        """Contexts to class weights and back, at every position there is."""
        prompts: Tensor = self.model.prompt_learner()
        whole = F.pad(prompts, (0, 0, 0, POSITIONS - prompts.shape[1]))
        self.model.text_tower(whole, self.model.prompt_learner.ends).sum().backward()

    def reading(self) -> None:
        """Frames to frame features, without a gradient: what a screening does once."""
        with torch.inference_mode():
            self.model.frame_features(self.frames)


class ScreeningParts:
    """What a screening is made of once it has features, which are random numbers here."""

    def __init__(self, clip: Clip, clips: PackedClips, settings: Settings, device: torch.device) -> None:
        pairs = [(described(number), seed) for number in range(SETS) for seed in range(1, SEEDS + 1)]
        kept = KeptFeatures(clip, clips, settings, clips.path)
        learn = np.arange(len(clips))
        self.groups = [
            Together(clip, group, settings, kept, learn, VIEWS, device)
            for group in groups(clip, pairs, settings, MOST_BYTES)
        ]
        shape = settings.batch_size, settings.frames, clip.embed_dim
        self.features = torch.randn(SEEDS, *shape, device=device)
        self.labels = torch.randint(len(CLASS_NAMES), (SEEDS, settings.batch_size), device=device)

    def step(self) -> None:
        """One step of all models."""
        for group in self.groups:
            group.step(self.features, self.labels)

    def answers(self) -> None:
        """All models' answers to a batch of clips."""
        with torch.inference_mode():
            for group in self.groups:
                group.model(self.features[:1].expand(len(group.pairs), -1, -1, -1))


def seconds(part: Callable[[], None], device: torch.device) -> float:
    """How long it takes once."""
    started = time.perf_counter()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def whole(parts: Mapping[str, float], batch: int) -> dict[str, float]:
    """Seconds of a grid, one fold of it, made of those of its parts."""
    steps = EPOCHS * (LEARN // batch)
    return {
        "fine-tuning": SETS * SEEDS * steps * (batch / CLIPS * parts["visual"] + parts["text"]),
        "features": (LEARN * VIEWS + JUDGE) / CLIPS * parts["reading"],
        "training on them": steps * parts["step"] + JUDGE / batch * parts["answers"],
    }


def shown(grids: list[dict[str, float]]) -> dict[str, Any]:
    """The table, and the figures that are kept."""
    plain, features, training = ([grid[name] for grid in grids] for name in grids[0])
    first = [a / (b + c) for a, b, c in zip(plain, features, training, strict=True)]
    later = [a / c for a, c in zip(plain, training, strict=True)]
    print("| | share of fine-tuning | times faster |")
    print("| --- | --- | --- |")
    rows = {"features computed first": first, "features kept": later}
    for name, ratios in rows.items():
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"| {name} | {1 / middle:.2%} | {middle:.0f} ({low:.0f} to {high:.0f}) |")
    return {
        "sets": SETS,
        "seeds": SEEDS,
        "epochs": EPOCHS,
        "views": VIEWS,
        "rounds": len(grids),
        "times faster, features computed first": round(statistics.median(first), 1),
        "times faster, features kept": round(statistics.median(later), 1),
    }


def main() -> int:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="Two rounds in place of five.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    settings = Settings(clip="ViT-B-32-quickgelu", weights="random", epochs=EPOCHS, workers=0)
    clip = load_clip(settings.clip, settings.weights)
    with tempfile.TemporaryDirectory() as folder:
        clips = draw_dataset(Path(folder) / "clips", clips=5 * len(CLASS_NAMES), image_size=32)
        plain = PlainParts(clip, settings, device)
        screening = ScreeningParts(clip, clips, settings, device)
        parts = {
            "visual": plain.visual,
            "text": plain.text,
            "reading": plain.reading,
            "step": screening.step,
            "answers": screening.answers,
        }
        grids = []
        for number in range(1 + (2 if given.small else 5)):
            measured = {name: seconds(part, device) for name, part in parts.items()}
            if number:  # the first round warms up
                grids.append(whole(measured, settings.batch_size))
    figures = shown(grids)
    record("screening", figures, given.device)
    return 0 if figures["times faster, features computed first"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
