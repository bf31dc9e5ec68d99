"""The figure of an optimisation: the score over rounds, and the gains of the final sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .page_figures import CONTROL, FAINT, INK, LINES, short
from .run_figures import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (9.0, 3.6)


@dataclass(frozen=True)
class RoundScore:
    """UAR in percent after a round, that of its best candidate, and whether this was accepted."""

    current: float
    best: float
    accepted: bool


@dataclass(frozen=True)
class SetGain:
    """The gain of a final set in points, with its interval."""

    name: str
    value: float
    low: float
    high: float


def optimization_figure(
    path: Path,
    title: str,
    first: float,
    rounds: Sequence[RoundScore],
    control: Sequence[float],
    gains: tuple[str, Sequence[SetGain]],
) -> None:
    """Draw the score over rounds and the gains, as PNG or SVG by the suffix of `path`.

    `first` is the UAR of the first set, `control` that of the random edits after each round (empty without
    them), `gains` the name of their axis and the final sets, the optimised one first. The file is written
    atomically. Raises InputError for another suffix.
    """
    with drawn(path, INCHES) as figure:
        scores, sets = figure.subplots(1, 2, width_ratios=(3, 2))
        figure.suptitle(title, fontsize=10, parse_math=False)
        _scores(scores, first, rounds, control)
        _gains(sets, *gains)


def _scores(axes: Axes, first: float, rounds: Sequence[RoundScore], control: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    places = range(len(rounds) + 1)
    axes.plot(places, [first, *(each.current for each in rounds)], color=LINES[0], label="current set")
    for accepted, filled in ((True, LINES[0]), (False, "white")):
        shown = [(n, each.best) for n, each in enumerate(rounds, 1) if each.accepted == accepted]
        if shown:
            label = f"best candidate, {'accepted' if accepted else 'not accepted'}"
            xs, ys = zip(*shown, strict=True)
            axes.plot(xs, ys, "o", color=LINES[0], markerfacecolor=filled, markersize=5, label=label)
    if control:
        random = [first, *control]
        axes.plot(range(len(random)), random, color=CONTROL, linestyle="--", label="random edits (control)")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel="round", ylabel="UAR in percent, choosing clips")
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def _gains(axes: Axes, axis: str, sets: Sequence[SetGain]) -> None:
    axes.axvline(0, color=CONTROL, linestyle=":", linewidth=1.2)
    for place, each in enumerate(sets):
        colour = CONTROL if place else LINES[0]
        axes.hlines(place, each.low, each.high, color=colour, linewidth=1.6)
        axes.plot(each.value, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(sets)), [short(each.name) for each in sets], parse_math=False, color=INK)
    axes.set_ylim(len(sets) - 0.4, -0.6)
    axes.set_xlabel(axis)
    axes.grid(axis="x", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
