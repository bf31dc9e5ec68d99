"""The reliability plot: what a model said against what was right, before and after calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfer_model.metrics import CALIBRATION_BINS, Reliability

from .figures import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT, SAID, CLIPS = "#2f6f8f", "#d9822b", "#9fb8c4"
EDGES = np.linspace(0, 1, CALIBRATION_BINS + 1)


def reliability_figure(
    path: Path, before: Reliability, after: Reliability, titles: tuple[str, str], title: str
) -> None:
    """Draw both, each over the number of clips in its bins, as the PNG or SVG that `path`'s suffix says.

    The figure appears whole or not at all. Raises InputError for another suffix.
    """
    with drawn(path, (9.0, 5.0)) as figure:
        figure.suptitle(title, fontsize=10, parse_math=False)
        panels = figure.subplots(2, 2, sharex=True, height_ratios=[3.5, 1])
        for column, (measured, heading) in enumerate(zip((before, after), titles, strict=True)):
            _shares(panels[0, column], measured)
            panels[0, column].set_title(heading, fontsize=10)
            panels[1, column].bar(
                EDGES[:-1], measured.clips, width=1 / CALIBRATION_BINS, align="edge", color=CLIPS
            )
            panels[1, column].set_xlabel("said: probability of the answer")
            for axes in panels[:, column]:
                axes.spines[["top", "right"]].set_visible(False)
        panels[0, 0].set_ylabel("right: share of the answers")
        panels[1, 0].set_ylabel("clips")
        panels[0, 0].legend(frameon=False, fontsize=8, loc="upper left")


def _shares(axes: Axes, measured: Reliability) -> None:
    held = measured.clips > 0
    at, right, said = EDGES[:-1][held], measured.right[held], measured.said[held]
    width = 1 / CALIBRATION_BINS
    axes.bar(at, right, width=width, align="edge", color=RIGHT, edgecolor="white", label="right")
    axes.hlines(said, at, at + width, color=SAID, linewidth=3, label="said")
    axes.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
