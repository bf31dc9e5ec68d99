"""What a comparison says, first of all: in a few sentences, set by set, and with what it leaves open."""

from __future__ import annotations

from ...errors import listed
from .blocks import Cell, Folded, Section, Table, cells, paragraph, points
from .stored import Stored

MANY = 10  # sentences, from which they are folded
NOT_SHOWN = "not shown"


def verdict(of: Stored) -> Section:
    """The section that a report begins with."""
    sentences = list(of.comparison.verdicts)
    said = points(sentences)
    return Section(
        "verdict",
        "Verdict",
        (
            points(headlines(of)),
            *_matrices(of),
            *([said] if len(sentences) <= MANY else [Folded(f"All {len(sentences)} sentences", (said,))]),
            paragraph("What these figures do not say by themselves:"),
            points(of.comparison.caveats),
        ),
    )


def headlines(of: Stored) -> list[str]:
    """A sentence on the controls and one on the first set for each measure."""
    said = []
    for measure in of.comparison.measures:
        if of.comparison.controls:
            said.append(f"{measure}: {_against_controls(of, measure)}")
        if len(of.comparison.candidates) > 1:
            said.append(f"{measure}: {_against_first(of, measure)}")
    return said


def _against_controls(of: Stored, measure: str) -> str:
    verdicts = of.comparison.verdicts_of(measure)
    better = [
        name
        for name in of.comparison.candidates
        if all(verdicts.get((name, each)) == "better" for each in of.comparison.controls)
    ]
    if not better:
        return "no set is shown to be better than every control."
    if len(better) == len(of.comparison.candidates):
        alone = len(better) == 1
        return f"{better[0] if alone else 'every set'} is better than every control."
    rest = len(of.comparison.candidates) - len(better)
    return f"better than every control: {listed(better)}; of the other {rest} that is not shown."


def _against_first(of: Stored, measure: str) -> str:
    verdicts, first = of.comparison.verdicts_of(measure), of.comparison.candidates[0]
    found: dict[str, list[str]] = {}
    for name in of.comparison.candidates[1:]:
        found.setdefault(verdicts.get((name, first), NOT_SHOWN), []).append(name)
    worded = {
        "better": "better than {}: {}",
        "worse": "worse than {}: {}",
        "indistinguishable": "indistinguishable from {}: {}",
        NOT_SHOWN: "not shown to differ from {}: {}",
    }
    parts = [text.format(first, listed(found[word])) for word, text in worded.items() if word in found]
    return f"{'; '.join(parts)}."


def _matrices(of: Stored) -> list[Table]:
    """For each measure every set against the first one and against each control, in a word."""
    others = (
        [*of.comparison.candidates[:1], *of.comparison.controls]
        if len(of.comparison.candidates) > 1
        else of.comparison.controls
    )
    tables = []
    for measure in of.comparison.measures:
        verdicts = of.comparison.verdicts_of(measure)
        rows = tuple(
            cells(name, *(Cell(verdicts.get((name, other), "–")) for other in others))
            for name in of.comparison.candidates
            if any((name, other) in verdicts for other in others)
        )
        columns = ("set", *(each.replace(":", ": ") for each in others))
        every = tuple(range(len(columns)))
        title = f"{measure}: each set against those above the columns, by UAR (5%, all pairs together, Holm)"
        tables.append(Table(f"verdicts-{measure}", title, columns, rows, words=every))
    return [each for each in tables if each.rows]
