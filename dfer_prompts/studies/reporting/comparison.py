"""The report of a comparison: its sections in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .blocks import Content, Section, Table
from .by_class import answered, confusion_section, recall_section
from .learning import learning
from .measured import difference_table, differences, figure_table, figures
from .paper import for_paper
from .repeating import repeat
from .stored import Stored
from .verdict import verdict
from .wordings import between, diagnostics, word_for_word

EPOCHS = {
    "last": "the last",
    "val": "the best on validation clips of the training folds",
    "test-best": "the best on the test fold (optimistically biased)",
}


def comparison_content(folder: Path) -> Content:
    """All that is stored of a comparison."""
    of = Stored.open(folder)
    found = answered(of)
    recalls = recall_section(of, found)
    sections = (
        verdict(of),
        figures(of),
        differences(of),
        recalls,
        confusion_section(of, found),
        learning(of),
        diagnostics(of.texts, of.record.settings.contexts if of.record.settings else 0),
        between(of.texts, of.comparison.candidates),
        word_for_word(of.texts),
        repeat(of),
    )
    return Content(_title(of), tuple(_facts(of).items()), sections, _paper(of, recalls))


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


def _paper(of: Stored, recalls: Section) -> tuple[Table, ...]:
    """The tables that a paper has room for."""
    pairs = [_without_folds(difference_table(of, measure)) for measure in of.comparison.measures]
    by_class = [each for each in recalls.blocks if isinstance(each, Table)]
    return for_paper((figure_table(of), *pairs, *by_class))


def _without_folds(of: Table) -> Table:
    """The differences without each fold's, for which a column of text has no room."""
    at = of.columns.index("each fold")

    def cut(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return row[:at] + row[at + 1 :]

    words = tuple(each - (each > at) for each in of.words if each != at)
    return replace(of, columns=cut(of.columns), rows=tuple(map(cut, of.rows)), words=words)
