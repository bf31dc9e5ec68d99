"""The figure of an explanation: descriptors over time, attention above, class probabilities beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from dfer_model.evaluation.explanation import WHAT_IT_IS, Explanation

from .run_figures import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 12  # those with the highest probabilities
ROW_INCHES = 0.19
HEAD_INCHES = 2.6
ANSWER, OTHER, ATTENTION = "#6aa9cb", "#c3d2da", "#d9822b"


def explanation_figure(path: Path, explained: Explanation, frames: Sequence[Tensor], title: str) -> None:
    """Draw it as PNG or SVG by the suffix of `path`; `frames` (3, H, W) are the explained ones.

    Classes are ordered by probability. The file is written atomically. Raises InputError for another suffix.
    """
    order = sorted(explained.probabilities, key=lambda name: -explained.probabilities[name])[:MOST_CLASSES]
    described = explained.evidence.descriptors
    rows = [row for name in order for row, (owner, _) in enumerate(described) if owner == name]
    with drawn(path, (11.0, HEAD_INCHES + ROW_INCHES * len(rows))) as figure:
        figure.suptitle(title, fontsize=10, parse_math=False)
        heights = [0.9, 0.6, ROW_INCHES * len(rows)]
        panels = figure.subplots(3, 2, width_ratios=[4.2, 1], height_ratios=heights)
        _strip(panels[0, 0], frames)
        _attention(panels[1, 0], explained)
        _heat_map(figure, panels[2, 0], explained, rows)
        _classes(panels[2, 1], explained, order, rows)
        for axes in panels[:2, 1]:
            axes.axis("off")
        left_out = len(explained.probabilities) - len(order)
        more = f" {left_out} less probable classes are not shown." if left_out else ""
        figure.supxlabel(f"{WHAT_IT_IS} Above {explained.reference}.{more}", fontsize=8, parse_math=False)


def _strip(axes: Axes, frames: Sequence[Tensor]) -> None:
    """The frames in a row, each above its column of the heat map."""
    for place, frame in enumerate(frames):
        pixels = frame.permute(1, 2, 0).numpy()
        axes.imshow(
            pixels, extent=(place - 0.48, place + 0.48, 0, 1), aspect="auto", interpolation="bilinear"
        )
    axes.set_xlim(-0.5, len(frames) - 0.5)
    axes.axis("off")


def _attention(axes: Axes, explained: Explanation) -> None:
    count = len(explained.seconds)
    shares = explained.attention or (1 / count,) * count
    axes.bar(range(count), [100 * share for share in shares], width=0.92, color=ATTENTION)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_xticks([])
    what = "attention (%)" if explained.attention else "the mean of\nall frames (%)"
    axes.set_ylabel(what, fontsize=8, rotation=0, ha="right", va="center")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _heat_map(figure: Figure, axes: Axes, explained: Explanation, rows: list[int]) -> None:
    evidence = explained.evidence
    largest = max(float(np.abs(evidence.rise[rows]).max()), 1e-6)
    image = axes.imshow(
        evidence.rise[rows],
        cmap="RdBu_r",
        vmin=-largest,
        vmax=largest,
        aspect="auto",
        interpolation="nearest",
    )
    texts = [evidence.descriptors[row][1] for row in rows]
    axes.set_yticks(range(len(rows)), texts, fontsize=8, parse_math=False)
    for place in _borders(explained, rows):
        axes.axhline(place - 0.5, color="#333333", linewidth=0.8)
    known = [(at, second) for at, second in enumerate(explained.seconds) if second is not None]
    places = [at for at, _ in known] or list(range(len(explained.seconds)))
    axes.set_xticks(places, [f"{second:.1f}" for _, second in known] or map(str, places), fontsize=8)
    axes.set_xlabel("seconds" if known else "frame", fontsize=8)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label("rise in cosine", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _borders(explained: Explanation, rows: list[int]) -> list[int]:
    owners = [explained.evidence.descriptors[row][0] for row in rows]
    return [place for place in range(1, len(rows)) if owners[place] != owners[place - 1]]


def _classes(axes: Axes, explained: Explanation, order: list[str], rows: list[int]) -> None:
    """A bar for each class over the height of its descriptors."""
    edges = [0, *_borders(explained, rows), len(rows)]
    for number, (name, top, bottom) in enumerate(zip(order, edges, edges[1:], strict=False)):
        share = explained.probabilities[name]
        middle = (top + bottom - 1) / 2
        axes.barh(middle, 100 * share, height=0.7 * (bottom - top), color=ANSWER if number == 0 else OTHER)
        # Over the bar and beyond its end, because long names do not fit on either side.
        axes.text(2, middle, f"{name} {100 * share:.0f}%", fontsize=8, va="center", parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.set_xlabel("class probability (%)", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
