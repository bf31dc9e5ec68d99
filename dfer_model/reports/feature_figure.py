"""The figure of clips in a plane, with a colour and a marker for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .page_figures import CONTROL, LINES, MARKERS, inline_svg, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 500  # points above which they are small
SMALL, LARGE = 3.0, 5.0  # size of a marker, points
ACROSS = 2  # columns of the legend
ROW_INCHES = 0.17  # of the legend


def class_points(
    name: str,
    label: str,
    points: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
) -> str:
    """The SVG of `points` (clips, 2) with the colour and the marker of their class, and a legend.

    `labels` (clips,) are positions in `class_names`. Up to 7 classes differ by colour and marker, up to 49 by
    one of the two. Classes without points are left out. `name` and `label` are those of `inline_svg`.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    size = SMALL if len(points) > MANY else LARGE

    def draw(axes: list[Axes]) -> None:
        (only,) = axes
        for number in map(int, np.flatnonzero(counts)):
            own = points[labels == number]
            colour = LINES[number % len(LINES)]
            marker = MARKERS[(number + number // len(LINES)) % len(MARKERS)]
            only.plot(
                own[:, 0], own[:, 1], marker=marker, markersize=size, linestyle="none", color=colour,
                markerfacecolor=colour, markeredgewidth=0, alpha=0.8,
                label=f"{short(class_names[number])} ({counts[number]})",
            )  # fmt: skip
        only.set_xticks([])
        only.set_yticks([])
        only.spines[["top", "right"]].set_visible(True)
        only.spines[:].set_color(CONTROL)
        only.set_aspect("equal", adjustable="datalim")
        legend = only.figure.legend(
            loc="outside lower left", ncols=ACROSS, frameon=False, fontsize=8, handletextpad=0.3,
            markerscale=LARGE / size,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)

    rows = -(-int((counts > 0).sum()) // ACROSS)
    return inline_svg(name, label, 4.2 + ROW_INCHES * rows, draw)
