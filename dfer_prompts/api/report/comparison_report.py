"""The report of a comparison: its sections in order, and the summary at its top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import listed
from ..reproduce.results import EPOCHS
from .by_class import class_counts, confusion_section, recall_section
from .by_fold import fold_rows, fold_section
from .by_group import comparison_groups, with_groups
from .curves import learning
from .figures_and_differences import difference_table, differences, figure_table, figures
from .render import Cell, Content, Folded, Section, Table, cells, for_paper, paragraph, points
from .repeat import repeat
from .set_texts import between, diagnostics, word_for_word
from .stored import Stored
from .top2 import csv_with_top2, top2_rows, with_top2

if TYPE_CHECKING:
    from dfer_model.evaluation.groups import Groups


def comparison_content(folder: Path, groups: Groups | None = None) -> Content:
    """The report of a stored comparison, with results by group if these are given."""
    of = Stored.open(folder)
    found = class_counts(of)
    recalls = recall_section(of, found)
    by_fold = found, of.comparison.measures, [each.name for each in of.comparison.rows]
    top2 = top2_rows(of)
    folds = with_top2(fold_section(*by_fold), top2)
    sections = (
        verdict(of),
        figures(of),
        differences(of),
        folds,
        recalls,
        confusion_section(of, found),
        learning(of),
        diagnostics(of.texts, of.record.settings.contexts if of.record.settings else 0),
        between(of.texts, of.comparison.candidates),
        word_for_word(of.texts),
        repeat(of, groups),
    )
    facts = tuple(_facts(of).items())
    rows = csv_with_top2(fold_rows(*by_fold), top2)
    content = Content(_title(of), facts, sections, _paper(of, folds, recalls), rows)
    return with_groups(content, comparison_groups(of, groups) if groups else None)


def _title(of: Stored) -> str:
    first, *others = of.comparison.candidates
    what = "runs" if of.record.of_runs else "description sets"
    if len(others) < 3 and not of.record.of_runs:
        named = [", ".join([first, *others[:-1]]), *others[-1:]]
        return f"{' and '.join(named)} on {of.record.dataset}"
    return f"{len(of.comparison.candidates)} {what} on {of.record.dataset}"


def _facts(of: Stored) -> dict[str, str]:
    record, compared = of.record, of.comparison
    facts = {
        "comparison": record.folder.name,
        "clips": f"{record.dataset}, test {_counted(compared.folds, 'fold')}",
        "measures": ", ".join(compared.measures),
        "sets": f"{len(of.comparison.candidates)} and {len(of.comparison.controls)} controls",
    }
    if compared.seeds:
        facts["seeds"] = ", ".join(map(str, compared.seeds))
        facts["epoch"] = EPOCHS.get(compared.selection, compared.selection)
    if record.transfer_to:
        facts["transfer to"] = record.transfer_to
    for name, each in record.controls.items():
        facts[name] = f"made of {' and '.join(each.made_of) or 'an unsaved set'} with seed {each.seed}"
    return facts


def _counted(numbers: Sequence[int], word: str) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _paper(of: Stored, folds: Section, recalls: Section) -> tuple[Table, ...]:
    """The tables for a paper."""
    pairs = [_without_folds(difference_table(of, measure)) for measure in of.comparison.measures]
    by_class = [each for section in (folds, recalls) for each in section.blocks if isinstance(each, Table)]
    return for_paper((figure_table(of), *pairs, *by_class))


def _without_folds(of: Table) -> Table:
    """The differences without the column of folds, which is too wide for a text column."""
    at = of.columns.index("each fold")

    def cut(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return row[:at] + row[at + 1 :]

    words = tuple(each - (each > at) for each in of.words if each != at)
    return replace(of, columns=cut(of.columns), rows=tuple(map(cut, of.rows)), words=words)


MANY = 10  # sentences from which they are collapsed
NOT_SHOWN = "not shown"


def verdict(of: Stored) -> Section:
    """The first section of a report."""
    sentences = list(of.comparison.verdicts)
    listing = points(sentences)
    return Section(
        "verdict",
        "Verdict",
        (
            points(headlines(of)),
            *_matrices(of),
            *(
                [listing]
                if len(sentences) <= MANY
                else [Folded(f"All {len(sentences)} sentences", (listing,))]
            ),
            paragraph("Caveats:"),
            points(of.comparison.caveats),
        ),
    )


def headlines(of: Stored) -> list[str]:
    """A sentence on the controls and one on the first set for each measure."""
    messages = []
    for measure in of.comparison.measures:
        if of.comparison.controls:
            messages.append(f"{measure}: {_against_controls(of, measure)}")
        if len(of.comparison.candidates) > 1:
            messages.append(f"{measure}: {_against_first(of, measure)}")
    return messages


def _against_controls(of: Stored, measure: str) -> str:
    verdicts = of.comparison.verdicts_of(measure)
    better = [
        name
        for name in of.comparison.candidates
        if all(verdicts.get((name, each)) == "better" for each in of.comparison.controls)
    ]
    if not better:
        return "no set is significantly better than every control."
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
    """For each measure, the verdict on every set against the first one and against each control."""
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
        title = f"{measure}: each set against those above the columns, by UAR (at 5%, corrected)"
        tables.append(Table(f"verdicts-{measure}", title, columns, rows, words=every))
    return [each for each in tables if each.rows]
