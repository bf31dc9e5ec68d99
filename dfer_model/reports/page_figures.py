"""The figures of a report's page: values with intervals, paired differences, and curves, as inline SVG.

Ids are unique in the page. The page sets the colours as CSS variables, for light and dark backgrounds; the
defaults are those of `COLOURS`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INCHES = 4.7  # at 96 pixels per inch the width of a column, so that text keeps its size
SIZES = {"font.size": 9.0, "svg.fonttype": "none", "svg.hashsalt": "dfer"}
INK, FAINT, CONTROL, CHANCE = "#1c2328", "#d5dade", "#7d858c", "#b03031"
LINES = ("#2f6f8e", "#c2631a", "#3c8d4e", "#7a4f99", "#b8433e", "#00838e", "#8a6d1f")
COLOURS = {INK: "ink", FAINT: "faint", CONTROL: "control", CHANCE: "chance"} | {
    colour: f"line{number}" for number, colour in enumerate(LINES, 1)
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def inline_svg(
    name: str, label: str, height: float, draw: Callable[[list[Axes]], None], panels: int = 1, across: int = 1
) -> str:
    """The SVG of what `draw` draws on `panels` axes, `across` in a row, `height` inches high.

    `name` must be unique in a page; `label` is the text for screen readers.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK)
    lines: Any = {
        **SIZES,
        **colours,
        "axes.edgecolor": CONTROL,
        "xtick.color": CONTROL,
        "ytick.color": CONTROL,
    }
    with rc_context(lines), warnings.catch_warnings():
        # The page's font draws the text, so glyphs that matplotlib's font lacks do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(INCHES, height), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        rows = -(-panels // across)
        axes = list(figure.subplots(rows, across, squeeze=False, sharex=panels > 1, sharey=panels > 1).flat)
        for each in axes:
            each.set_facecolor("none")
            each.spines[["top", "right"]].set_visible(False)
        draw(axes[:panels])
        for each in axes[panels:]:
            each.remove()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _for_a_page(stream.getvalue(), name, label)


def _for_a_page(svg: str, name: str, label: str) -> str:
    """The SVG without file header, style sheet and unused ids."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - written by matplotlib
    for element in [*root.findall(f".//{{{_SVG}}}style/.."), root]:
        for kind in ("style", "metadata"):
            for unwanted in element.findall(f"{{{_SVG}}}{kind}"):
                element.remove(unwanted)
    used = {each.get(f"{{{_XLINK}}}href", "")[1:] for each in root.iter()}
    used |= {each.get("clip-path", "")[5:-1] for each in root.iter()}
    for element in root.iter():
        _adapt(element, name, used)
    root.attrib |= {"role": "img", "aria-label": label, "stroke-linejoin": "round", "stroke-linecap": "butt"}
    for prefix, uri in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(prefix, uri)
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element, name: str, used: set[str]) -> None:
    own = element.attrib.pop("id", None)
    if own in used:
        element.set("id", f"{name}-{own}")
    if href := element.attrib.pop(f"{{{_XLINK}}}href", None):
        element.set("href", f"#{name}-{href[1:]}")
    if clip := element.get("clip-path"):
        element.set("clip-path", f"url(#{name}-{clip[5:]}")
    if style := element.get("style"):
        for colour, variable in COLOURS.items():
            style = style.replace(colour, f"var(--{variable}, {colour})")
        element.set("style", style.replace("'DejaVu Sans', ", ""))


ROW_INCHES = 0.21
LONGEST = 26  # characters of a name in a figure; tables have the full name
TOGETHER = 7  # curves that are distinguishable on one pair of axes
MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Bar:
    """A row of a figure: `strong` rows have a filled mark, others a hollow one."""

    name: str
    value: float
    low: float | None
    high: float | None
    strong: bool = True
    is_control: bool = False


@dataclass(frozen=True)
class Curve:
    """A line over `places`, with its spread (0 without one)."""

    name: str
    places: Sequence[float]
    values: Sequence[float]
    spreads: Sequence[float]
    is_control: bool = False


def intervals(name: str, label: str, axis: str, rows: Sequence[Bar], mark: float, zero: bool = False) -> str:
    """The SVG of a dot with its interval for each row; `mark` is the dotted line of chance or of zero.

    With `zero` the values are differences around it.
    """

    def draw(axes: list[Axes]) -> None:
        (only,) = axes
        only.axvline(mark, color=CONTROL if zero else CHANCE, linestyle=":", linewidth=1.2)
        for place, row in enumerate(rows):
            colour = CONTROL if row.is_control else LINES[0]
            if row.low is not None and row.high is not None:
                only.hlines(place, row.low, row.high, color=colour, linewidth=1.6)
            only.plot(
                row.value, place, marker="o", markersize=5, color=colour, linestyle="none",
                markerfacecolor=colour if row.strong else "none",
            )  # fmt: skip
        only.set_yticks(range(len(rows)), [short(row.name) for row in rows], parse_math=False)
        only.set_ylim(len(rows) - 0.4, -0.6)
        only.grid(axis="x", color=FAINT, linewidth=0.7)
        only.set_axisbelow(True)
        only.tick_params(axis="y", length=0)
        if not zero:
            only.set_xlim(0, 100)
        only.set_xlabel(axis)

    return inline_svg(name, label, 0.75 + ROW_INCHES * len(rows), draw)


def curves(
    name: str, label: str, axes_names: tuple[str, str], drawn: Sequence[Curve], ticks: Mapping[float, str]
) -> str:
    """The SVG of curves with their spread, on one pair of axes, or one each if there are many.

    With one each, the mean of all is drawn behind. `ticks` label the horizontal axis; empty: integers.
    """
    from matplotlib.ticker import MaxNLocator

    together = len(drawn) <= TOGETHER

    def draw(axes: list[Axes]) -> None:
        for number, curve in enumerate(drawn):
            one = axes[0] if together else axes[number]
            colour = LINES[number % len(LINES)] if together else CONTROL if curve.is_control else LINES[0]
            if not together:
                one.plot(*_mean(drawn), color=FAINT, linewidth=2.5)
                one.set_title(short(curve.name), fontsize=8, parse_math=False)
            _draw(one, curve, colour, MARKERS[number % len(MARKERS)])
        for one in axes:
            if ticks:
                one.set_xticks(list(ticks), list(ticks.values()))
            else:
                one.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
            one.grid(color=FAINT, linewidth=0.7)
            one.set_axisbelow(True)
        figure = axes[0].figure
        if together:
            axes[0].set(xlabel=axes_names[0], ylabel=axes_names[1])
            legend = figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8)
            for text in legend.get_texts():
                text.set_parse_math(False)
        else:
            figure.supxlabel(axes_names[0], fontsize=9, color=INK)
            figure.supylabel(axes_names[1], fontsize=9, color=INK)

    if together:
        return inline_svg(name, label, 3.0 + 0.09 * len(drawn), draw)
    return inline_svg(name, label, 0.4 + 1.25 * -(-len(drawn) // 3), draw, panels=len(drawn), across=3)


def short(name: str) -> str:
    """A name shortened to fit, without unprintable characters."""
    shown = "".join(filter(str.isprintable, name))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _draw(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    few = len(curve.places) <= 12
    axes.plot(
        curve.places, curve.values, color=colour, label=short(curve.name), marker=marker if few else "",
        markersize=3.5, linewidth=1.5, linestyle="--" if curve.is_control else "-",
    )  # fmt: skip
    if any(curve.spreads):
        low, high = (
            [value + sign * spread for value, spread in zip(curve.values, curve.spreads, strict=True)]
            for sign in (-1, 1)
        )
        axes.fill_between(curve.places, low, high, color=colour, alpha=0.15, linewidth=0)


def _mean(drawn: Sequence[Curve]) -> tuple[list[float], list[float]]:
    """The mean of all curves, at their common places."""
    by_place = [dict(zip(each.places, each.values, strict=True)) for each in drawn]
    places = sorted(set.intersection(*(set(each) for each in by_place)))
    return places, [sum(each[place] for each in by_place) / len(by_place) for place in places]
