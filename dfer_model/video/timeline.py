"""The timeline figure: class probabilities over time, a panel for each track of each video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_model.errors import InputError
from dfer_model.evaluation.classify import Prediction
from dfer_model.io import replacing
from dfer_model.reports.fonts import with_fonts
from dfer_model.reports.run_figures import check_picture

from .windows import COLOURS, MOMENT, by_track, class_colours, moments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 40
MOST_CLASSES = len(COLOURS)  # more would repeat colours
OTHERS = "#ececec"
PANEL_INCHES, WIDTH_INCHES = 1.7, 9.0
# Names stay text in an SVG, and the same figure gives the same file.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "dfer"}


def draw_timeline(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str]) -> int:
    """Draw the probability of each class over the seconds of each track, as PNG or SVG by the suffix.

    The tracks of a video share their time axis. Overlapping windows are averaged. With more than 11 classes
    the 10 most probable have a layer each and the others share one. Returns the number of tracks drawn, at
    most the 40 longest. Raises InputError for another suffix, and if there is nothing to draw.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    panels = _panels(predictions)
    if not panels:
        raise InputError("there is nothing to draw: no face was found")
    with rc_context(_SVG):
        figure = Figure(figsize=(WIDTH_INCHES, 0.6 + PANEL_INCHES * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(len(panels), squeeze=False)[:, 0]
        layers = _layers(predictions, class_names)
        spans = _spans(panels)
        for axes, predicted in zip(rows, panels, strict=True):
            _panel(axes, predicted, layers, spans[predicted[0].video])
        rows[-1].set_xlabel("seconds")
        handles, labels = rows[0].get_legend_handles_labels()
        legend = figure.legend(handles[::-1], labels[::-1], loc="outside right upper", fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
        metadata = {"Date": None} if path.suffix.casefold() == ".svg" else {}
        with with_fonts(figure), replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120, metadata=metadata)
    return len(panels)


def _panels(predictions: Sequence[Prediction]) -> list[list[Prediction]]:
    """The predictions of each track, in the given order."""
    videos = dict.fromkeys(each.video for each in predictions)
    found = [
        predicted
        for video in videos
        for predicted in by_track([each for each in predictions if each.video == video]).values()
    ]
    if len(found) <= MOST_PANELS:
        return found
    longest = sorted(range(len(found)), key=lambda index: -_length(found[index]))[:MOST_PANELS]
    return [found[index] for index in sorted(longest)]


def _spans(panels: Sequence[Sequence[Prediction]]) -> dict[Path, tuple[float, float]]:
    """For each video the seconds of its first and last window: the time axis of its tracks."""
    found: dict[Path, tuple[float, float]] = {}
    for predicted in panels:
        edges = moments(predicted).edges
        first, last = found.get(predicted[0].video, (edges[0], edges[-1]))
        found[predicted[0].video] = min(first, float(edges[0])), max(last, float(edges[-1]))
    return found


def _length(predicted: Sequence[Prediction]) -> float:
    return (predicted[-1].end or 0.0) - (predicted[0].start or 0.0)


@dataclass(frozen=True)
class _Layer:
    """One colour of the figure, and the indices of its classes."""

    label: str
    colour: str
    classes: list[int]


def _layers(predictions: Sequence[Prediction], class_names: Sequence[str]) -> list[_Layer]:
    """A layer for each class, or for each of the most probable, in class order, and one for the others."""
    places = range(len(class_names))
    sums = np.sum([list(each.probabilities.values()) for each in predictions], axis=0)
    most = MOST_CLASSES if len(class_names) <= MOST_CLASSES else MOST_CLASSES - 1
    shown = sorted(sorted(places, key=lambda place: -sums[place])[:most])
    colours = class_colours([class_names[place] for place in shown])
    layers = [_Layer(class_names[place], colours[class_names[place]], [place]) for place in shown]
    others = [place for place in places if place not in shown]
    return layers + ([_Layer(f"{len(others)} others", OTHERS, others)] if others else [])


def _panel(
    axes: Axes, predicted: Sequence[Prediction], layers: Sequence[_Layer], span: tuple[float, float]
) -> None:
    steps = moments(predicted)
    # Each span twice, at its start and its end: predictions are constant within a span.
    seconds = np.repeat(steps.edges, 2)[1:-1]
    known = np.nan_to_num(np.repeat(steps.probabilities, 2, axis=0))  # (2 spans, classes)
    shares = [known[:, layer.classes].sum(axis=1) for layer in layers]
    colours, labels = [layer.colour for layer in layers], [layer.label for layer in layers]
    axes.stackplot(seconds, shares, colors=colours, labels=labels, linewidth=0)
    axes.set_xlim(*span)
    if span[1] - span[0] < 2 * MOMENT:  # a single frame has no duration
        axes.set_xticks([])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(labelsize=8)
    track = "" if predicted[0].track is None else f", track {predicted[0].track}"
    axes.set_title(f"{predicted[0].video.name}{track}", fontsize=9, loc="left", parse_math=False)
