"""The figures of a comparison with intervals, the paired differences, and the few-shot curves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from .render import Block, Cell, Folded, Picture, Section, Table, cells, paragraph
from .stored import Stored

if TYPE_CHECKING:
    from dfer_model.comparison.results import Figure, Pair
    from dfer_model.comparison.statistics import Difference

WORDS = {"uar": "UAR", "war": "WAR", "f1": "F1", "top2": "top-2"}
LONG = 16  # pairs from which their tables are collapsed


def figures(of: Stored) -> Section:
    """Every measure's figures: a plot and the table."""
    blocks: list[Block] = []
    for measure in of.comparison.measures:
        blocks += [_picture(of, measure), _table(of, measure), *_shots(of, measure)]
    return Section("figures", "Figures", (*blocks, *_chosen(of)))


def differences(of: Stored) -> Section:
    """Every pair of every measure: a plot and the tables."""
    blocks: list[Block] = [
        paragraph(
            "Each set minus another on the same clips, folds and seeds, in points. An interval is for its "
            "pair alone; p-values and verdicts are corrected over the sets (pairs with controls) and over "
            "the pairs of sets (Holm)."
        )
    ]
    for measure in of.comparison.measures:
        pairs = of.comparison.pairs_of(measure)
        if not pairs:
            continue
        tables = (difference_table(of, measure), _tests(of, measure))
        folded = (Folded(f"Tables: {len(pairs)} pairs, {measure}", tables),) if len(pairs) > LONG else tables
        blocks += [*_difference_pictures(measure, pairs), *folded]
    return Section("differences", "Paired differences", tuple(blocks) if len(blocks) > 1 else ())


def shown(figure: Figure) -> str:
    """A figure with its standard deviation: "61.2 ± 0.8"."""
    spread = f" ± {figure.std:.1f}" if figure.std is not None else ""
    return f"{figure.mean:.1f}{spread}"


def figure_table(of: Stored) -> Table:
    """All measures side by side, for a paper: figures with their spread."""
    columns = [(measure, what) for measure in of.comparison.measures for what in ("uar", "war")]
    rows = tuple(
        cells(each.name, *(shown(each.measures[measure].named[what]) for measure, what in columns))
        for each in of.comparison.rows
    )
    spread = _spread(rows, ", ± one standard deviation over seeds")
    title = f"UAR and WAR in percent on {of.record.dataset}{spread}"
    heads = (f"{measure} {WORDS[what]}" for measure, what in columns)
    return Table("figures", title, ("set", *heads), rows)


def difference_table(of: Stored, measure: str) -> Table:
    """The paired differences of a measure, in UAR, with their intervals and verdicts."""
    rows = tuple(
        cells(
            _pair(pair), _difference(pair.uar),
            " ".join(f"{each:+z.1f}" for each in pair.uar.per_fold.values()),
            _p(pair.uar.p_holm), pair.verdict,
        )
        for pair in of.comparison.pairs_of(measure)
    )  # fmt: skip
    columns = ("set", "UAR", "each fold", "p (Holm)", "verdict")
    title = f"Paired differences in UAR, {measure}, in points, with 95% intervals"
    return Table(f"differences-{measure}", title, columns, rows, words=(0, 2, 4))


def _tests(of: Stored, measure: str) -> Table:
    rows = tuple(
        cells(
            _pair(pair), _difference(pair.war), _p(pair.war.p_holm),
            f"{pair.mcnemar.first_only} : {pair.mcnemar.second_only}", _p(pair.mcnemar.p),
        )
        for pair in of.comparison.pairs_of(measure)
    )  # fmt: skip
    columns = ("set", "WAR", "p (Holm)", "clips", "p (McNemar)")
    title = (
        f"The same pairs in WAR, {measure}; clips that only the first and only the second classifies "
        "correctly, and McNemar's exact test of them"
    )
    return Table(f"war-{measure}", title, columns, rows, words=(0,))


def _pair(of: Pair) -> Cell:
    return Cell(of.first, f"minus {of.second}")


def _difference(of: Difference) -> Cell:
    return Cell(f"{of.value:+z.1f}", f"{of.low:+z.1f} to {of.high:+z.1f}")


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def _table(of: Stored, measure: str) -> Table:
    names = list(of.comparison.rows[0].measures[measure].named)
    heads = [" ".join(WORDS.get(word, word) for word in name.split("_")) for name in names]
    rows = tuple(
        cells(each.name, *(_cell(each.measures[measure].named[name]) for name in names))
        for each in of.comparison.rows
    )
    title = f"{measure}, in percent{_spread(rows, ', ± over seeds')}, with 95% intervals"
    return Table(f"figures-{measure}", title, ("set", *heads), rows, beside=len(heads) <= 3)


def _spread(rows: Sequence[Sequence[Cell]], suffix: str) -> str:
    """The part of a title about spreads, if the cells have any."""
    return suffix if any(" ± " in cell.text for row in rows for cell in row[1:]) else ""


def _cell(figure: Figure) -> Cell:
    low, high = figure.low, figure.high
    return Cell(shown(figure), f"{low:.1f} to {high:.1f}" if low is not None and high is not None else "")


def _picture(of: Stored, measure: str) -> Picture:
    from dfer_model.reports.comparison_figures import TITLES
    from dfer_model.reports.page_figures import Bar, intervals

    found = [(each, each.measures[measure].uar) for each in of.comparison.rows]
    rows = [
        Bar(each.name, uar.mean, uar.low, uar.high, not each.is_control, each.is_control)
        for each, uar in found
    ]
    label = f"UAR in percent, {measure}: " + "; ".join(f"{row.name} {row.value:.1f}" for row in rows)
    draw = partial(intervals, f"figures-{measure}", label, "UAR in percent", rows, _chance(of, measure))
    caption = (
        f"{TITLES.get(measure, measure)}. UAR with 95% intervals; grey and hollow: controls; dotted: chance."
    )
    return Picture(caption, draw)


def _chance(of: Stored, measure: str) -> float:
    """The UAR of chance, in percent."""
    recalls = of.comparison.sets[0].measures[measure].curves.get("recalls")
    classes = recalls if recalls and measure == "transfer" else of.class_names
    return 100 / max(1, len(classes))


def _difference_pictures(measure: str, pairs: Sequence[Pair]) -> list[Picture]:
    """A plot for each set that others are compared with."""
    from dfer_model.reports.page_figures import Bar, intervals

    pictures = []
    for number, other in enumerate(dict.fromkeys(pair.second for pair in pairs)):
        rows = [
            Bar(
                pair.first, pair.uar.value, pair.uar.low, pair.uar.high,
                pair.verdict in ("better", "worse"),
            )
            for pair in pairs
            if pair.second == other
        ]  # fmt: skip
        message = "; ".join(
            f"{row.name} {row.value:+z.1f} ({row.low:+z.1f} to {row.high:+z.1f})" for row in rows
        )
        label = f"Difference in UAR from {other}, {measure}: {message}"
        draw = partial(
            intervals, f"differences-{measure}-{number}", label, "difference in UAR, points", rows, 0.0, True
        )
        caption = f"{measure}: each set minus {other}. Filled: better or worse; hollow: indistinguishable."
        pictures.append(Picture(caption, draw))
    return pictures


def _shots(of: Stored, measure: str) -> list[Block]:
    """The learning curve of few-shot, over the number of clips."""
    from dfer_model.reports.page_figures import Curve, curves

    sets = of.comparison.rows
    if "curve_uar" not in sets[0].measures[measure].curves:
        return []
    points = {each.name: each.measures[measure].curves["curve_uar"] for each in sets}
    shots = list(points[sets[0].name])
    drawn = [
        Curve(
            each.name, range(len(shots)), [point.mean for point in points[each.name].values()],
            [point.std or 0.0 for point in points[each.name].values()], each.is_control,
        )
        for each in sets
    ]  # fmt: skip
    label = f"UAR over the number of training clips of each class, {measure}; the table has the figures"
    ticks = {float(place): each for place, each in enumerate(shots)}
    named = ("training clips of each class", "UAR in percent")
    draw = partial(curves, f"shots-{measure}", label, named, drawn, ticks)
    rows = tuple(cells(name, *map(shown, curve.values())) for name, curve in points.items())
    title = f"UAR in percent by training clips of each class, {measure}; 0 is untrained"
    spread = _spread(rows, ", ± one standard deviation over seeds")
    caption = f"{measure}: UAR over training clips of each class{spread}."
    return [Picture(caption, draw), Table(f"shots-{measure}", title, ("set", *shots), rows)]


def _chosen(of: Stored) -> list[Block]:
    """The screening that chose the sets, if any."""
    screening = of.record.screening
    if not screening:
        return []
    rows = tuple(cells(each.name, _cell(each.uar), "yes" if each.chosen else "no") for each in screening.sets)
    title = f"Chosen by a screening on {screening.clips_judged}: UAR in percent"
    return [Table("screening", title, ("set", "screened UAR", "fine-tuned"), rows, words=(0, 2))]
