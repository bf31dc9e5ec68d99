"""The figures of a report's page: values with intervals, paired differences, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .inline_svg import CHANCE, CONTROL, FAINT, INK, LINES, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
