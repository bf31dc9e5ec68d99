"""The figure of an optimisation, from its stored log."""

from __future__ import annotations

from pathlib import Path

from ...optimization.log import OptimizationLog
from ..report.optimization_report import control_scores, shown_gains, title


def draw_optimization(path: Path, of: OptimizationLog) -> None:
    """Draw the score over rounds and the gains, PNG or SVG by the suffix. Raises InputError for another."""
    from dfer_model.reports.optimization_figure import RoundScore, SetGain, optimization_figure

    rounds = [RoundScore(each.uar, each.best.uar, each.accepted) for each in of.rounds]
    name, gains = shown_gains(of)
    sets = [SetGain(each, gain.value, gain.low, gain.high) for each, gain in gains.items()]
    first, control = of.result.uar_of_the_first, control_scores(of)
    optimization_figure(path, title(of), first, rounds, control, (f"{name}, points of UAR", sets))
