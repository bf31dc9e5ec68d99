"""Figures of a run, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dfer_model.files import replacing
from dfer_model.metrics import Measures

CELL_INCHES = 0.55
SMALLEST_INCHES, LARGEST_INCHES = 5.0, 16.0
MARGIN_INCHES = 2.5  # for the class names
DARK = 55.0  # percent from which a cell is dark enough for white figures


def confusion_figure(path: Path, measured: Measures, class_names: Sequence[str], title: str) -> None:
    """Draw the confusion matrix as a PNG: each row in percent of the clips of that true class.

    A class without clips has an empty row. The figure appears whole or not at all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    totals = measured.confusion.sum(axis=1, keepdims=True)
    percent = np.divide(
        100.0 * measured.confusion, totals, out=np.full(measured.confusion.shape, np.nan), where=totals > 0
    )
    wanted = CELL_INCHES * len(class_names)
    size = min(max(wanted + MARGIN_INCHES, SMALLEST_INCHES), LARGEST_INCHES)
    font = 9.0 * min(1.0, (size - MARGIN_INCHES) / wanted)
    figure = Figure(figsize=(size, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    # Class names and the title are data: a `$` in them is no mathematics.
    axes.set_title(title, fontsize=10, parse_math=False)
    places = range(len(class_names))
    axes.set_xticks(places, class_names, rotation=45, ha="right", fontsize=font, parse_math=False)
    axes.set_yticks(places, class_names, fontsize=font, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (a row sums to 100%)")
    for (row, column), value in np.ndenumerate(percent):
        if not np.isnan(value):
            colour = "white" if value > DARK else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=font)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
