"""A picture of expressions over time: a panel for each track of each video."""

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
MOST_CLASSES = len(COLOURS)  # of more, colours would come twice
OTHERS = "#ececec"
PANEL_INCHES, WIDTH_INCHES = 1.7, 9.0
# Names stay text in an SVG, and the same picture is the same file.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "dfer"}


def draw_timeline(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str]) -> int:
    """Draw the probability of each class over the seconds of each track, as PNG or SVG by the name's ending.

    The tracks of a video share their time axis. Where windows overlap, their mean is drawn. Of more than 11
    classes the 10 that are most probable have a layer each, the others one together. Returns how many tracks
    were drawn; of more than 40 those that last longest. Raises InputError for another ending, and when there
    is nothing to draw.
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
        for axes, said in zip(rows, panels, strict=True):
            _panel(axes, said, layers, spans[said[0].video])
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
    """The predictions of each track, in the order in which they came."""
    videos = dict.fromkeys(each.video for each in predictions)
    found = [
        said
        for video in videos
        for said in by_track([each for each in predictions if each.video == video]).values()
    ]
    if len(found) <= MOST_PANELS:
        return found
    longest = sorted(range(len(found)), key=lambda index: -_length(found[index]))[:MOST_PANELS]
    return [found[index] for index in sorted(longest)]


def _spans(panels: Sequence[Sequence[Prediction]]) -> dict[Path, tuple[float, float]]:
    """For each video the seconds from its first window to its last: the axis that its tracks share."""
    found: dict[Path, tuple[float, float]] = {}
    for said in panels:
        edges = moments(said).edges
        first, last = found.get(said[0].video, (edges[0], edges[-1]))
        found[said[0].video] = min(first, float(edges[0])), max(last, float(edges[-1]))
    return found


def _length(said: Sequence[Prediction]) -> float:
    return (said[-1].end or 0.0) - (said[0].start or 0.0)


@dataclass(frozen=True)
class _Layer:
    """One colour of the picture, and the places of its classes."""

    label: str
    colour: str
    classes: list[int]


def _layers(predictions: Sequence[Prediction], class_names: Sequence[str]) -> list[_Layer]:
    """A layer for each class, or for each that is said most, in class order, and one for the others."""
    places = range(len(class_names))
    said = np.sum([list(each.probabilities.values()) for each in predictions], axis=0)
    most = MOST_CLASSES if len(class_names) <= MOST_CLASSES else MOST_CLASSES - 1
    shown = sorted(sorted(places, key=lambda place: -said[place])[:most])
    colours = class_colours([class_names[place] for place in shown])
    layers = [_Layer(class_names[place], colours[class_names[place]], [place]) for place in shown]
    others = [place for place in places if place not in shown]
    return layers + ([_Layer(f"{len(others)} others", OTHERS, others)] if others else [])


def _panel(
    axes: Axes, said: Sequence[Prediction], layers: Sequence[_Layer], span: tuple[float, float]
) -> None:
    told = moments(said)
    # Each span twice, at its beginning and its end: steps, for between two answers nothing is known.
    seconds = np.repeat(told.edges, 2)[1:-1]
    known = np.nan_to_num(np.repeat(told.probabilities, 2, axis=0))  # (2 spans, classes)
    shares = [known[:, layer.classes].sum(axis=1) for layer in layers]
    colours, labels = [layer.colour for layer in layers], [layer.label for layer in layers]
    axes.stackplot(seconds, shares, colors=colours, labels=labels, linewidth=0)
    axes.set_xlim(*span)
    if span[1] - span[0] < 2 * MOMENT:  # one frame has no time
        axes.set_xticks([])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(labelsize=8)
    track = "" if said[0].track is None else f", track {said[0].track}"
    axes.set_title(f"{said[0].video.name}{track}", fontsize=9, loc="left", parse_math=False)
