"""Draw the README's pictures from a finished demo: run `python benchmarks/pictures.py [DEMO_FOLDER]`.

- `pipeline.svg`: the steps from a question to a verdict; needs no demo;
- `timeline.png`: a run's predictions over time with the evidence of its descriptors, for a drawn face;
- `report.png`: the report of the demo's comparison, in Chromium;
- `demo.png`: left, drawn faces at their strongest frame beside v1's text of the class; right, the demo's
  comparison.

Takes less than a minute. The same demo gives the same pictures, except for differences between versions of
fonts and of Chromium. A picture that cannot be drawn is named with what it needs, and the exit status is
1.
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
import picture_pipeline
import picture_report
import picture_timeline
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run
from dfer_prompts import load

CHECKOUT = Path(__file__).parent.parent
OUT = CHECKOUT / "docs" / "pictures"
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


def demo_figure(demo: Path, result: dict[str, Any]) -> Figure:
    """Faces and comparison side by side."""
    figure, (faces, bars) = plt.subplots(
        1, 2, figsize=(13, 6.4), width_ratios=[1.75, 1], layout="constrained"
    )
    draw_faces(faces, PackedClips.open(demo / "clips"))
    draw_comparison(bars, result)
    return figure


def drawn(figure: Figure, dpi: int) -> Image.Image:
    """The figure's pixels."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=dpi)
    return Image.open(stream).convert("RGB")


def keep(name: str, picture: Image.Image) -> None:
    """Store as a PNG with a palette, to keep the repository small."""
    picture.quantize(256).save(OUT / name, optimize=True)
    print(f"docs/pictures/{name}: {(OUT / name).stat().st_size / 1024:.0f} KiB")


def judged_run(demo: Path, result: dict[str, Any]) -> Run:
    """The demo's run of v1@4 with test fold 1; runs are ordered by fold, then by set."""
    position = [each["name"] for each in result["texts"]].index("v1@4")
    return Run.open(demo / "runs" / result["runs"][position])


def main() -> int:
    """Draw the pictures into docs/pictures; returns 1 if one could not be drawn."""
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "demo"
    OUT.mkdir(parents=True, exist_ok=True)
    picture_pipeline.draw(OUT / "pipeline.svg")
    print("docs/pictures/pipeline.svg")
    found = sorted(demo.glob("comparisons/*/comparison.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        print(f"no comparison in {demo}: the other pictures show the demo\nMake it: make demo")
        return 1
    result = json.loads(found[-1].read_text())
    keep("demo.png", drawn(demo_figure(demo, result), 110))
    keep("timeline.png", drawn(picture_timeline.timeline(demo, judged_run(demo, result)), 130))
    chromium = picture_report.browser()
    if chromium is None:
        print(f"no {', '.join(picture_report.BROWSERS)}: report.png is not changed\napt-get install chromium")
        return 1
    keep("report.png", picture_report.two_leaves(demo, found[-1].parent.name, chromium))
    return 0


if __name__ == "__main__":
    sys.exit(main())
