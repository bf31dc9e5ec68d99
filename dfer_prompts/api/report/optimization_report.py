"""The report of an optimisation: score over rounds, edits that were accepted and refused, and gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ...optimization.log import Figure, Gain, LoggedRound, OptimizationLog
from .render import (
    Block,
    Cell,
    Code,
    Content,
    Folded,
    Picture,
    Section,
    Table,
    cells,
    for_paper,
    paragraph,
    points,
)

BIASED = (
    "Scores over rounds are on the clips that chose, so they are optimistically biased. The confirmed gain "
    "is on clips that chose nothing, the gain on the test fold on clips that were read at the end only: "
    "these are not biased by the search. All scores are zero-shot."
)
CONTROLS = (
    "Random edits: as many edits as the model gave, drawn from FACS and the set's own descriptors, with the "
    "same scores and acceptance. Selection alone: descriptions search over each class's own and FACS "
    "descriptors. Much of a gain may come from selection, not from the language model."
)
RANDOM = "random edits"


def optimization_content(path: Path) -> Content:
    """The report of the optimisation with the log at `path`."""
    of = OptimizationLog.open(path)
    rounds, gains = rounds_table(of), gains_table(of)
    sections = (
        Section("result", "Result", tuple(_result(of, gains))),
        Section("rounds", "Score over rounds", (_picture(of), paragraph(BIASED), rounds)),
        Section("accepted", "Accepted edits", tuple(_accepted(of))),
        Section("refused", "Refused edits", tuple(_refused(of))),
        Section("controls", "Controls", tuple(_controls(of))),
        Section("repeat", "Files", tuple(_files(of))),
    )
    return Content(
        title(of), tuple(_facts(of).items()), sections, for_paper((rounds, gains)), tuple(_csv_rows(of))
    )


def title(of: OptimizationLog) -> str:
    """The title of the report and the figure."""
    first = f" from {of.result.of}" if of.result.of else ""
    made = of.result.version or "No accepted change"
    return f"{made}{first}, optimised on {of.result.dataset}"


def gains_of(of: OptimizationLog) -> Mapping[str, tuple[Gain, Gain | None]]:
    """The final set and the controls by name: the gains on the confirming clips and on the test fold."""
    sets = {of.result.version or "no change": of.result, **of.result.controls}
    return {name: (each.confirmed, each.tested) for name, each in sets.items()}


def control_scores(of: OptimizationLog) -> list[float]:
    """The UAR of the random edits after each round; empty without this control."""
    control = of.result.controls.get(RANDOM)
    return list(control.uar_by_round) if control else []


def rounds_table(of: OptimizationLog) -> Table:
    """A row for each round."""
    return Table(
        "rounds",
        "Rounds, UAR in percent on the choosing clips",
        ("round", "edits", "refused", "sets scored", "best candidate", "UAR", "accepted"),
        (
            cells("first set", "", "", "", "", f"{of.result.uar_of_the_first:.1f}", ""),
            *(_round_row(each) for each in of.rounds),
        ),
        words=(6,),
    )


def _round_row(each: LoggedRound) -> tuple[Cell, ...]:
    said = f"yes: {each.why}" if each.accepted else f"no: {each.why}"
    counts = len(each.edits), len(each.refused), each.candidates
    return cells(each.round, *counts, f"{each.best.uar:.1f}", f"{each.uar:.1f}", said)


def gains_table(of: OptimizationLog) -> Table:
    """The gains of the final set and of the controls on clips that chose nothing."""
    tested = of.result.test_fold is not None
    rows = []
    for name, (confirmed, test) in gains_of(of).items():
        more = [test.gain.signed, test.gain.interval] if test else []
        rows.append(cells(name, confirmed.gain.signed, confirmed.gain.interval, *more))
    heads = ("test fold", "95% interval") if tested else ()
    return Table(
        "gains",
        "Gain in zero-shot UAR on the first set, in points",
        ("set", "confirmed", "95% interval", *heads),
        tuple(rows),
    )


def _facts(of: OptimizationLog) -> dict[str, str]:
    result = of.result
    counts = result.clips
    folds = ", ".join(map(str, result.folds))
    confirming = ", ".join(map(str, result.confirming_folds))
    facts = {
        "language model": f"{of.settings.model} at {of.settings.base_url}",
        "clips": f"{result.dataset}, folds {folds}: {counts['chose']} choose; {counts['confirm']} of fold "
        f"{confirming} confirm",
        "answers": f"{result.asked} requested, {result.found} found stored",
    }
    if result.test_fold is not None:
        facts["test fold"] = f"{result.test_fold}, {counts['test']} clips"
    if result.stopped:
        facts["rounds ended early"] = result.stopped
    return facts


def _result(of: OptimizationLog, gains: Table) -> list[Block]:
    accepted = sum(each.accepted for each in of.rounds)
    says = [of.confirmed, f"{accepted} of {len(of.rounds)} rounds were accepted."]
    if of.result.answers_without_edits:
        says.append(f"{of.result.answers_without_edits} answers had no readable edit.")
    return [points(says), _gain_picture(of), gains]


def _picture(of: OptimizationLog) -> Picture:
    from dfer_model.reports.page_figures import Curve, curves

    first, control = of.result.uar_of_the_first, control_scores(of)
    places, none = list(range(len(of.rounds) + 1)), [0.0] * (len(of.rounds) + 1)
    current = [first, *(each.uar for each in of.rounds)]
    drawn = [
        Curve("current set", places, current, none),
        Curve("best candidate", places[1:], [each.best.uar for each in of.rounds], none[1:]),
    ]
    if control:
        numbers = list(range(len(control) + 1))
        drawn.append(Curve(f"{RANDOM} (control)", numbers, [first, *control], [0.0] * len(numbers), True))
    label = f"UAR of the current set over {len(of.rounds)} rounds, from {first:.1f} to {current[-1]:.1f}"
    axes = ("round", "UAR in percent, choosing clips")
    return Picture(f"{label}.", partial(curves, "rounds", label, axes, drawn, {}))


def _gain_picture(of: OptimizationLog) -> Picture:
    from dfer_model.reports.page_figures import Bar, intervals

    name, gains = shown_gains(of)
    rows = [
        Bar(each, gain.value, gain.low, gain.high, strong=not place, is_control=bool(place))
        for place, (each, gain) in enumerate(gains.items())
    ]
    label = f"{name}: " + "; ".join(f"{each} {gain.signed}" for each, gain in gains.items())
    caption = f"{name}, with 95% intervals; grey and hollow: controls."
    return Picture(caption, partial(intervals, "gains", label, "gain in points of UAR", rows, 0, zero=True))


def shown_gains(of: OptimizationLog) -> tuple[str, dict[str, Figure]]:
    """The gains that figures show, and their name: on the test fold if there is one, else confirmed."""
    both = gains_of(of)
    tested = {name: test.gain for name, (_, test) in both.items() if test}
    if len(tested) == len(both):
        return f"Gain on test fold {of.result.test_fold}", tested
    return "Confirmed gain", {name: confirmed.gain for name, (confirmed, _) in both.items()}


def _accepted(of: OptimizationLog) -> Iterator[Block]:
    rows = []
    before = of.result.uar_of_the_first
    for each in of.rounds:
        if each.accepted:
            first = (each.round, f"{each.uar - before:+.1f}")
            for place, change in enumerate(each.changes):
                number, gain = first if place == 0 else ("", "")
                rows.append(cells(number, change, gain))
        before = each.uar
    if not rows:
        yield paragraph("No change was accepted.")
        return
    yield Table(
        "accepted",
        "Changes of the accepted sets; the gain is that of the round on the choosing clips, in points of UAR",
        ("round", "change", "gain"),
        tuple(rows),
        words=(1,),
    )
    yield paragraph("The final set compared with the first one:")
    yield points(of.result.changes)


def _refused(of: OptimizationLog) -> Iterator[Block]:
    refused = [(each.round, one) for each in of.rounds for one in each.refused]
    if not refused:
        yield paragraph("No edit was refused.")
        return
    reasons = Counter(one.reason for _, one in refused)
    yield points([f"{reason} ({count})" for reason, count in reasons.most_common()])
    rows = tuple(cells(number, one.edit, one.reason) for number, one in refused)
    table = Table("refused", "Refused edits", ("round", "edit", "reason"), rows, words=(1, 2))
    yield Folded(f"{len(refused)} refused edits", (table,))


def _controls(of: OptimizationLog) -> Iterator[Block]:
    if not of.result.controls:
        return
    where = "the confirming clips" if of.result.test_fold is None else f"test fold {of.result.test_fold}"
    name = of.result.version or "no change"
    rows = tuple(
        cells(f"{name} minus {control}", each.signed, each.interval)
        for control, each in of.result.beside_controls.items()
    )
    yield paragraph(CONTROLS)
    yield Table(
        "controls",
        f"Difference in UAR of the optimised set and each control on {where}, in points",
        ("difference", "UAR", "95% interval"),
        rows,
    )


def _files(of: OptimizationLog) -> list[Block]:
    blocks: list[Block] = [paragraph(f"Log of every round: {of.path.parent.name}/{of.path.name}.")]
    if of.result.version:
        shown = f"dfer-prompts descriptions show {of.result.version}"
        blocks += [paragraph("The version, with its provenance:"), Code(shown)]
    return [
        *blocks,
        paragraph("This report:"),
        Code(f"dfer-prompts report {of.path.parent.name}/{of.path.name}"),
    ]


def _csv_rows(of: OptimizationLog) -> Iterator[tuple[str, ...]]:
    yield ("round", "uar", "best_uar", "accepted", "edits", "refused", "candidates", "changes")
    first = f"{of.result.uar_of_the_first:.4f}"
    yield ("0", first, first, "", "0", "0", "0", "")
    for each in of.rounds:
        said = "yes" if each.accepted else "no"
        counts = map(str, (len(each.edits), len(each.refused), each.candidates))
        uars = f"{each.uar:.4f}", f"{each.best.uar:.4f}"
        yield (str(each.round), *uars, said, *counts, "; ".join(each.changes) if each.accepted else "")
