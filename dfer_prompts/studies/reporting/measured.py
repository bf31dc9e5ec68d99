"""The figures of a comparison with their intervals, the paired differences, and the curves over shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .blocks import Block, Cell, Folded, Picture, Section, Table, cells, paragraph
from .stored import Stored

WORDS = {"uar": "UAR", "war": "WAR", "f1": "F1"}
LONG = 16  # pairs, from which their tables are folded


def key_of(measure: str) -> str:
    """What the names of a measure's figures begin with."""
    return measure.replace("-", "_")


def figures(of: Stored) -> Section:
    """Every measure's figures: a picture, and the table."""
    blocks: list[Block] = []
    for measure in of.told["measures"]:
        blocks += [_picture(of, measure), _table(of, measure), *_shots(of, measure)]
    return Section("figures", "Figures", (*blocks, *_chosen(of)))


def differences(of: Stored) -> Section:
    """Every pair of every measure: a picture, and the tables."""
    blocks: list[Block] = [
        paragraph(
            "Each set minus another on the same clips, folds and seeds, in points. An interval is for its "
            "pair alone; the p-values and verdicts are corrected for all pairs of a measure (Holm)."
        )
    ]
    for measure in of.told["measures"]:
        pairs = [pair for pair in of.told["pairs"] if pair["measure"] == measure]
        if not pairs:
            continue
        tables = (difference_table(of, measure), _tests(of, measure))
        folded = (Folded(f"Tables: {len(pairs)} pairs, {measure}", tables),) if len(pairs) > LONG else tables
        blocks += [*_difference_pictures(measure, pairs), *folded]
    return Section("differences", "Paired differences", tuple(blocks) if len(blocks) > 1 else ())


def shown(figure: Mapping[str, Any]) -> str:
    """A figure with its spread: "61.2 ± 0.8"."""
    spread = f" ± {figure['std']:.1f}" if figure["std"] is not None else ""
    return f"{figure['mean']:.1f}{spread}"


def figure_table(of: Stored) -> Table:
    """All measures side by side, for a paper: figures with their spread."""
    columns = [
        (f"{measure} {WORDS[what]}", f"{key_of(measure)}_{what}")
        for measure in of.told["measures"]
        for what in ("uar", "war")
    ]
    rows = tuple(cells(each["name"], *(shown(each[key]) for _, key in columns)) for each in of.sets)
    spread = _spread(rows, ", ± one standard deviation over seeds")
    title = f"UAR and WAR in percent on {of.told['dataset']}{spread}"
    return Table("figures", title, ("set", *(head for head, _ in columns)), rows)


def difference_table(of: Stored, measure: str) -> Table:
    """The paired differences of a measure, in UAR, with their intervals and verdicts."""
    rows = []
    for pair in of.told["pairs"]:
        if pair["measure"] == measure:
            uar, folds = pair["uar"], pair["uar"]["per_fold"].values()
            rows.append(
                cells(
                    _pair(pair), _difference(uar), " ".join(f"{each:+z.1f}" for each in folds),
                    _p(uar["p_holm"]), pair["verdict"],
                )
            )  # fmt: skip
    columns = ("set", "UAR", "each fold", "p (Holm)", "verdict")
    title = f"Paired differences in UAR, {measure}, in points, with 95% intervals"
    return Table(f"differences-{measure}", title, columns, tuple(rows), words=(0, 2, 4))


def _tests(of: Stored, measure: str) -> Table:
    rows = []
    for pair in of.told["pairs"]:
        if pair["measure"] == measure:
            war, exact = pair["war"], pair["mcnemar"]
            rows.append(
                cells(
                    _pair(pair), _difference(war), _p(war["p_holm"]),
                    f"{exact['first_only']} : {exact['second_only']}", _p(exact["p"]),
                )
            )  # fmt: skip
    columns = ("set", "WAR", "p (Holm)", "clips", "p (McNemar)")
    title = (
        f"The same pairs in WAR, {measure}; clips that the first alone and the second alone answers rightly, "
        "and McNemar's exact test of them"
    )
    return Table(f"war-{measure}", title, columns, tuple(rows), words=(0,))


def _pair(of: Mapping[str, Any]) -> Cell:
    return Cell(of["first"], f"minus {of['second']}")


def _difference(of: Mapping[str, Any]) -> Cell:
    return Cell(f"{of['value']:+z.1f}", f"{of['low']:+z.1f} to {of['high']:+z.1f}")


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def _table(of: Stored, measure: str) -> Table:
    prefix = f"{key_of(measure)}_"
    keys = [key for key in of.sets[0] if key.startswith(prefix) and "mean" in of.sets[0][key]]
    heads = [" ".join(WORDS.get(word, word) for word in key.removeprefix(prefix).split("_")) for key in keys]
    rows = tuple(cells(each["name"], *(_cell(each[key]) for key in keys)) for each in of.sets)
    title = f"{measure}, in percent{_spread(rows, ', ± over seeds')}, with 95% intervals"
    return Table(f"figures-{measure}", title, ("set", *heads), rows, beside=len(heads) <= 3)


def _spread(rows: Sequence[Sequence[Cell]], said: str) -> str:
    """What a title says of spreads, where their cells have any."""
    return said if any(" ± " in cell.text for row in rows for cell in row[1:]) else ""


def _cell(figure: Mapping[str, Any]) -> Cell:
    low, high = figure.get("low"), figure.get("high")
    return Cell(shown(figure), f"{low:.1f} to {high:.1f}" if low is not None and high is not None else "")


def _picture(of: Stored, measure: str) -> Picture:
    from dfer_model.report.measures import TITLES
    from dfer_model.report.page_figures import Bar, intervals

    key = f"{key_of(measure)}_uar"
    found = [(each, each[key]) for each in of.sets]
    rows = [
        Bar(
            each["name"],
            it["mean"],
            it.get("low"),
            it.get("high"),
            not each["is_control"],
            each["is_control"],
        )
        for each, it in found
    ]
    label = f"UAR in percent, {measure}: " + "; ".join(f"{row.name} {row.value:.1f}" for row in rows)
    draw = partial(intervals, f"figures-{measure}", label, "UAR in percent", rows, _chance(of, measure))
    caption = (
        f"{TITLES.get(measure, measure)}. UAR with 95% intervals; grey and hollow: controls; dotted: chance."
    )
    return Picture(caption, draw)


def _chance(of: Stored, measure: str) -> float:
    """The UAR of who guesses."""
    curve = of.told["sets"][0].get(f"{key_of(measure)}_recalls") if measure == "transfer" else None
    return 100 / max(1, len(curve or of.class_names))


def _difference_pictures(measure: str, pairs: list[dict[str, Any]]) -> list[Picture]:
    """A picture for each set that others are measured against."""
    from dfer_model.report.page_figures import Bar, intervals

    pictures = []
    for number, other in enumerate(dict.fromkeys(pair["second"] for pair in pairs)):
        rows = [
            Bar(
                pair["first"], pair["uar"]["value"], pair["uar"]["low"], pair["uar"]["high"],
                pair["verdict"] in ("better", "worse"),
            )
            for pair in pairs
            if pair["second"] == other
        ]  # fmt: skip
        told = "; ".join(
            f"{row.name} {row.value:+z.1f} ({row.low:+z.1f} to {row.high:+z.1f})" for row in rows
        )
        label = f"Difference in UAR from {other}, {measure}: {told}"
        draw = partial(
            intervals, f"differences-{measure}-{number}", label, "difference in UAR, points", rows, 0.0, True
        )
        caption = f"{measure}: each set minus {other}. Full marks: better or worse; hollow: not told apart."
        pictures.append(Picture(caption, draw))
    return pictures


def _shots(of: Stored, measure: str) -> list[Block]:
    """The learning curve of few-shot, over the number of clips."""
    from dfer_model.report.page_figures import Curve, curves

    key = f"{key_of(measure)}_curve_uar"
    if key not in of.sets[0]:
        return []
    shots = list(of.sets[0][key])
    drawn = [
        Curve(
            each["name"], range(len(shots)), [point["mean"] for point in each[key].values()],
            [point["std"] or 0.0 for point in each[key].values()], each["is_control"],
        )
        for each in of.sets
    ]  # fmt: skip
    label = f"UAR over the number of training clips of each class, {measure}; the table has the figures"
    ticks = {float(place): each for place, each in enumerate(shots)}
    named = ("training clips of each class", "UAR in percent")
    draw = partial(curves, f"shots-{measure}", label, named, drawn, ticks)
    rows = tuple(cells(each["name"], *(shown(point) for point in each[key].values())) for each in of.sets)
    title = f"UAR in percent by training clips of each class, {measure}; 0 is untrained"
    spread = _spread(rows, ", ± one standard deviation over seeds")
    caption = f"{measure}: UAR over training clips of each class{spread}."
    return [Picture(caption, draw), Table(f"shots-{measure}", title, ("set", *shots), rows)]


def _chosen(of: Stored) -> list[Block]:
    """The screening that chose the sets, where one did."""
    screening = of.told.get("screening")
    if not screening:
        return []
    rows = tuple(
        cells(each["name"], _cell(each["uar"]), "yes" if each["chosen"] else "no")
        for each in screening["sets"]
    )
    title = f"Chosen by a screening on {screening['clips_judged']}: UAR in percent"
    return [Table("screening", title, ("set", "screened UAR", "fine-tuned"), rows, words=(0, 2))]
