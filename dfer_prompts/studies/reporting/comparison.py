"""The report of a comparison: its sections in their order."""

from __future__ import annotations

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
    "test-best": "the best on the judging fold, which flatters",
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
        diagnostics(of.texts, int((of.told.get("settings") or {}).get("contexts", 0))),
        between(of.texts, of.candidates),
        word_for_word(of.texts),
        repeat(of),
    )
    return Content(_title(of), tuple(_facts(of).items()), sections, _paper(of, recalls))


def _title(of: Stored) -> str:
    first, *others = of.candidates
    what = "runs" if of.of_runs else "description sets"
    if len(others) < 3 and not of.of_runs:
        named = [", ".join([first, *others[:-1]]), *others[-1:]]
        return f"{' and '.join(named)} on {of.told['dataset']}"
    return f"{len(of.candidates)} {what} on {of.told['dataset']}"


def _facts(of: Stored) -> dict[str, str]:
    told = of.told
    facts = {
        "comparison": of.folder.name,
        "clips": f"{told['dataset']}, judged by {_counted(told['folds'], 'fold')}",
        "measures": ", ".join(told["measures"]),
        "sets": f"{len(of.candidates)} and {len(of.controls)} controls",
    }
    if told["seeds"]:
        facts["seeds"] = ", ".join(map(str, told["seeds"]))
        facts["epoch"] = EPOCHS.get(told["selection"], str(told["selection"]))
    if told.get("transfer_to"):
        facts["transfer to"] = str(told["transfer_to"])
    for name, each in told.get("controls", {}).items():
        facts[name] = f"made of {' and '.join(each['made_of']) or 'a draft'} with seed {each['seed']}"
    return facts


def _counted(numbers: list[int], word: str) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _paper(of: Stored, recalls: Section) -> tuple[Table, ...]:
    """The tables that a paper has room for."""
    pairs = [_without_folds(difference_table(of, measure)) for measure in of.told["measures"]]
    by_class = [each for each in recalls.blocks if isinstance(each, Table)]
    return for_paper((figure_table(of), *pairs, *by_class))


def _without_folds(of: Table) -> Table:
    """The differences without each fold's, for which a column of text has no room."""
    at = of.columns.index("each fold")

    def cut(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return row[:at] + row[at + 1 :]

    words = tuple(each - (each > at) for each in of.words if each != at)
    return replace(of, columns=cut(of.columns), rows=tuple(map(cut, of.rows)), words=words)
