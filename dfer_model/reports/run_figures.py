"""Figures of runs and description sets: confusion matrix, cosine heat map, reliability diagram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfer_model.errors import InputError
from dfer_model.io import replacing
from dfer_model.metrics import CALIBRATION_BINS, Measures, Reliability

from .fonts import with_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CELL_INCHES = 0.55
SMALLEST_INCHES, LARGEST_INCHES = 5.0, 16.0
MARGIN_INCHES = 2.5  # for the class names
PICTURES = (".png", ".svg")
DARK = 55.0  # percent from which a cell has white digits
# Names stay text in an SVG, and the same figure gives the same file.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "dfer"}


def confusion_figure(path: Path, measured: Measures, class_names: Sequence[str], title: str) -> None:
    """Draw the confusion matrix, rows in percent of the true class, as PNG or SVG by the suffix of `path`.

    A class without clips has an empty row. The file is written atomically. Raises InputError for another
    suffix.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    totals = measured.confusion.sum(axis=1, keepdims=True)
    percent = np.divide(
        100.0 * measured.confusion, totals, out=np.full(measured.confusion.shape, np.nan), where=totals > 0
    )
    needed = CELL_INCHES * len(class_names)
    size = min(max(needed + MARGIN_INCHES, SMALLEST_INCHES), LARGEST_INCHES)
    font = 9.0 * min(1.0, (size - MARGIN_INCHES) / needed)
    with rc_context(_SVG):
        figure = Figure(figsize=(size, size), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        # Class names and the title are data: `$` does not start a formula.
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
        _save(figure, path)


def heat_map_figure(
    path: Path, matrices: Sequence[NDArray[np.float64]], class_names: Sequence[str], titles: Sequence[str]
) -> None:
    """Draw cosines between classes, a square panel per matrix, as PNG or SVG by the suffix of `path`.

    All panels share one colour scale, over the off-diagonal cosines. The file is written atomically. Raises
    InputError for another suffix.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    between = np.concatenate([matrix[~np.eye(len(matrix), dtype=bool)] for matrix in matrices])
    low, high = float(between.min()), float(between.max())
    needed = CELL_INCHES * len(class_names)
    size = min(max(needed + MARGIN_INCHES, SMALLEST_INCHES), LARGEST_INCHES)
    font = 9.0 * min(1.0, (size - MARGIN_INCHES) / needed)
    with rc_context(_SVG):
        figure = Figure(figsize=(size * len(matrices), size), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle("Cosine similarity of class texts: a diagnostic, not accuracy", fontsize=10)
        places = range(len(class_names))
        for axes, matrix, title in zip(
            figure.subplots(1, len(matrices), squeeze=False)[0], matrices, titles, strict=True
        ):
            image = axes.imshow(matrix, cmap="Blues", vmin=low, vmax=max(high, low + 1e-6))
            axes.set_title(title, fontsize=10, parse_math=False)
            axes.set_xticks(places, class_names, rotation=45, ha="right", fontsize=font, parse_math=False)
            axes.set_yticks(places, class_names, fontsize=font, parse_math=False)
            for (row, column), value in np.ndenumerate(matrix):
                colour = "white" if value > low + DARK / 100 * (high - low) else "black"
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=font * 0.9
                )
            figure.colorbar(image, ax=axes, shrink=0.7)
        _save(figure, path)


@contextmanager
def drawn(path: Path, inches: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure to draw on, then written atomically as `path`, PNG or SVG by its suffix.

    Raises InputError for another suffix.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    with rc_context(_SVG):
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with with_fonts(figure), replacing(path) as temporary:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(temporary, format=path.suffix[1:], dpi=120, metadata=metadata)


def check_picture(path: Path) -> None:
    """Raise InputError for a file whose name does not end in .png or .svg."""
    if path.suffix not in PICTURES:
        raise InputError(f"{path}: a figure's name must end in {' or '.join(PICTURES)}")


RIGHT, PREDICTED, CLIPS = "#2f6f8f", "#d9822b", "#9fb8c4"
EDGES = np.linspace(0, 1, CALIBRATION_BINS + 1)


def reliability_figure(
    path: Path, before: Reliability, after: Reliability, titles: tuple[str, str], title: str
) -> None:
    """Draw the reliability diagrams before and after calibration, with the number of clips per bin.

    PNG or SVG by the suffix of `path`, written atomically. Raises InputError for another suffix.
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
            panels[1, column].set_xlabel("predicted probability")
            for axes in panels[:, column]:
                axes.spines[["top", "right"]].set_visible(False)
        panels[0, 0].set_ylabel("accuracy")
        panels[1, 0].set_ylabel("clips")
        panels[0, 0].legend(frameon=False, fontsize=8, loc="upper left")


def _shares(axes: Axes, measured: Reliability) -> None:
    held = measured.clips > 0
    at, right, predicted = EDGES[:-1][held], measured.right[held], measured.confidence[held]
    width = 1 / CALIBRATION_BINS
    axes.bar(at, right, width=width, align="edge", color=RIGHT, edgecolor="white", label="accuracy")
    axes.hlines(predicted, at, at + width, color=PREDICTED, linewidth=3, label="mean predicted probability")
    axes.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
