"""Draw the README's picture from what `make demo` left: run `python benchmarks/pictures.py [DEMO_FOLDER]`.

Left, drawn faces at their strongest frame beside what v1 says of the class; right, the demo's comparison.
"""

from __future__ import annotations

import io
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_prompts import load

CHECKOUT = Path(__file__).parent.parent
FACES = 7
ZERO_SHOT, TRAINED, CONTROL = "#2f6f8f", "#9fb8c4", "#8a8a8a"


def middle_frame(clips: PackedClips, index: int) -> np.ndarray:
    """The frame halfway through a clip, near its apex: (H, W, 3)."""
    (encoded,) = clips.encoded_frames(index, [int(clips.num_frames[index]) // 2])
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def draw_faces(axes: Axes, clips: PackedClips) -> None:
    """A row per class: its name and sentence, then faces of different people."""
    descriptions = load("v1")
    rows = []
    for label, name in enumerate(clips.class_names):
        chosen = np.flatnonzero(clips.labels == label)[:FACES]
        rows.append(np.concatenate([middle_frame(clips, index) for index in chosen], axis=1))
        sentence = textwrap.fill(descriptions.description(name), 52)
        height = (label + 0.5) / len(clips.class_names)
        axes.text(-0.02, height - 0.012, name, ha="right", va="bottom", fontsize=9, fontweight="bold")
        axes.text(-0.02, height - 0.008, sentence, ha="right", va="top", fontsize=7.5)
    axes.imshow(np.concatenate(rows), extent=(0, 1, 1, 0), aspect=len(rows) / FACES)
    axes.axis("off")


def draw_comparison(axes: Axes, result: dict[str, Any]) -> None:
    """Zero-shot and trained UAR of each set, controls last."""
    sets = sorted(result["sets"], key=lambda each: each["is_control"])
    places = np.arange(len(sets))
    for offset, key, colour, label in (
        (-0.2, "zero_shot_uar", ZERO_SHOT, "zero-shot"),
        (0.2, "trained_uar", TRAINED, "trained"),
    ):
        values = [each[key]["mean"] for each in sets]
        bars = axes.barh(places + offset, values, height=0.38, color=colour, label=label)
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    chance = 100 / len(result["texts"][0]["class_names"])
    axes.axvline(chance, color=CONTROL, linewidth=0.8, linestyle=":")
    axes.text(chance + 1, 3.5, "chance", fontsize=7, color=CONTROL)
    axes.set_yticks(places, [each["name"] for each in sets])
    axes.invert_yaxis()
    axes.set_xlim(0, 105)
    folds = ", ".join(map(str, result["folds"]))
    axes.set_xlabel(f"UAR in percent; folds {folds}; epoch: {result['selection']}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def main() -> None:
    """Read the demo's folder, draw, save under docs/pictures."""
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "demo"
    newest = max(demo.glob("comparisons/*/comparison.json"), key=lambda path: path.stat().st_mtime)
    figure, (faces, bars) = plt.subplots(
        1, 2, figsize=(13, 6.4), width_ratios=[1.75, 1], layout="constrained"
    )
    draw_faces(faces, PackedClips.open(demo / "clips"))
    draw_comparison(bars, json.loads(newest.read_text()))
    out = CHECKOUT / "docs" / "pictures" / "demo.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(out.relative_to(CHECKOUT))


if __name__ == "__main__":
    main()
