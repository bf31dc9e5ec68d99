"""Figures of a comparison: bars with intervals for every set, and curves over the number of shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.io import replacing

from .fonts import with_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dfer_model.comparison.results import Comparison, Figure, SetFigures

WIDTH_INCHES = 7.0
BAR_INCHES = 0.34
SET, CONTROL, CHANCE = "#2f6f8f", "#a9a9a9", "#b03030"
# Distinguishable without colours: sets are solid lines, controls dashed.
SET_COLOURS = ("#2f6f8f", "#d1741f", "#3c8d4f", "#7a4f9a", "#b8433f", "#00838f")
CONTROL_COLOURS = ("#777777", "#a58b6f", "#b0b0b0", "#8c6d8c", "#6f8c6f", "#c09a9a", "#4d4d4d")
MARKERS = "osD^vP*X"

TITLES = {
    "zero-shot": "zero-shot: CLIP without training",
    "screened": "screened: trained on features of a frozen image tower",
    "trained": "supervised: trained on all clips of the training folds",
    "few-shot": "few-shot: mean over the trained numbers of clips per class",
    "held-out-class": "held-out class: recall of the class that was not trained on",
    "transfer": "transfer: trained on one dataset, tested on another",
}


def draw_measures(folder: Path, comparison: Comparison, classes: int, target_classes: int) -> tuple[str, ...]:
    """Draw every measure of a comparison as PNG and SVG in `folder`; returns the file names.

    Chance is 100 / `classes`, for transfer 100 / `target_classes`. Few-shot is also drawn as curves.
    """
    rows = comparison.rows
    names = []
    for measure in comparison.measures:
        chance = 100 / (target_classes if measure == "transfer" else classes)
        bars = [(each.name, each.is_control, each.measures[measure].uar) for each in rows]
        names += bar_figure(folder / measure, TITLES[measure], bars, chance)
        if "curve_uar" in rows[0].measures[measure].curves:
            names += curve_figure(folder / f"{measure}-curve", rows, measure, chance)
    return tuple(names)


def bar_figure(path: Path, title: str, bars: Sequence[tuple[str, bool, Figure]], chance: float) -> list[str]:
    """Draw a bar for each (name, whether it is a control, UAR in percent) with its 95% interval.

    `path` is without suffix; the names of the PNG and the SVG are returned.
    """

    def draw(axes: Axes) -> None:
        for place, (_, is_control, figure) in enumerate(bars):
            low, high = figure.low, figure.high
            ends = (
                [[figure.mean - low], [high - figure.mean]] if low is not None and high is not None else None
            )
            axes.barh(
                place, figure.mean, color=CONTROL if is_control else SET, height=0.7, xerr=ends,
                error_kw={"ecolor": "#222222", "elinewidth": 1.1, "capsize": 2.5},
            )  # fmt: skip
            beyond = max(figure.mean, high or 0.0)
            axes.text(beyond + 1.2, place, f"{figure.mean:.1f}", va="center", fontsize=8)
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=9, parse_math=False)
        axes.invert_yaxis()
        axes.axvline(chance, color=CHANCE, linestyle=":", linewidth=1.2)
        axes.set_xlim(0, 108)
        axes.set_xticks(range(0, 101, 20))
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("UAR in percent, with 95% intervals; dotted: chance; grey: controls", fontsize=8)

    return _drawn(path, 1.3 + BAR_INCHES * len(bars), draw)


def curve_figure(path: Path, sets: Sequence[SetFigures], measure: str, chance: float) -> list[str]:
    """Draw the learning curve of each set under `measure`, over the training clips per class.

    The numbers are equally spaced. `path` is without suffix; the names of both files are returned.
    """

    def draw(axes: Axes) -> None:
        drawn = {True: 0, False: 0}
        for each in sets:
            _draw_curve(axes, each, each.measures[measure].curves["curve_uar"], drawn[each.is_control])
            drawn[each.is_control] += 1
        shots = list(sets[0].measures[measure].curves["curve_uar"])
        axes.axhline(chance, color=CHANCE, linestyle=":", linewidth=1.2)
        axes.set_xticks(range(len(shots)), ["0: untrained" if each == "0" else each for each in shots])
        axes.set_ylim(0, 100)
        axes.set_xlabel("training clips per class", fontsize=9)
        axes.set_ylabel("UAR in percent", fontsize=9)
        axes.set_title("few-shot; band: ± one standard deviation over seeds; dotted: chance", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        legend = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)

    return _drawn(path, 4.6, draw)


def _draw_curve(axes: Axes, of: SetFigures, points: Mapping[str, Figure], number: int) -> None:
    colours = CONTROL_COLOURS if of.is_control else SET_COLOURS
    colour = colours[number % len(colours)]
    places, means = range(len(points)), [each.mean for each in points.values()]
    style: dict[str, Any] = {
        "linestyle": "--" if of.is_control else "-",
        "linewidth": 1.2 if of.is_control else 2,
    }
    axes.plot(
        places,
        means,
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        markersize=4,
        label=of.name,
        **style,
    )
    spreads = [each.std or 0.0 for each in points.values()]
    if any(spreads):
        low, high = ([m + sign * s for m, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)


def _drawn(path: Path, height: float, draw: Any) -> list[str]:
    """The figure that `draw` makes on its axes, as PNG and as SVG; files are written atomically."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    # Names stay text in an SVG, and the same figure gives the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "dfer"}):
        canvas = Canvas(figsize=(WIDTH_INCHES, height), layout="constrained")
        FigureCanvasAgg(canvas)
        draw(canvas.add_subplot())
        names = []
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            with with_fonts(canvas), replacing(path.with_name(f"{path.name}.{kind}")) as temporary:
                canvas.savefig(temporary, format=kind, dpi=120, metadata=metadata)
            names.append(f"{path.name}.{kind}")
    return names
