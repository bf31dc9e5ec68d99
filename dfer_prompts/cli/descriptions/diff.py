"""`descriptions diff`: the differences between two description sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import InputError
from ..completion import versions
from ..output import JsonOption, Pieces, print_json, print_pieces

if TYPE_CHECKING:
    from ...versions.diff import Change, ClassDifference, Difference

# The first kind of a change determines the mark of its line.
_MARKS = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "reworded": ("~", "yellow"),
    "moved": ("=", "cyan"),
    "support": ("=", "cyan"),
}


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command("diff", short_help="Show what differs between two sets.")(diff_)


def diff_(
    context: typer.Context,
    first: Annotated[
        str, typer.Argument(autocompletion=versions, metavar="V", help="A version or a view of one, before.")
    ],
    second: Annotated[
        str, typer.Argument(autocompletion=versions, metavar="W", help="A version or a view of one, after.")
    ],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with status 1 if they differ, like git diff.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a report in Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show per class what was added (+), removed (-), reworded (~), moved or changed in support (=).

    Classes are matched by name. A descriptor is reworded if more than half of its words, or nearly all of
    its letters, are the same. It has moved if its order relative to the common descriptors changed.

    Example: dfer-prompts descriptions diff v1@4 v2@4
    """
    from ...versions.diff import diff
    from ...versions.store import DescriptionStore

    if markdown and as_json:
        raise InputError("--markdown and --json exclude each other: choose one")
    store = DescriptionStore(context.obj)
    found = diff(store.load(first), store.load(second))
    if as_json:
        print_json(found.as_dict())
    elif markdown:
        typer.echo(found.as_markdown(), nl=False)
    else:
        print_pieces(lines(found))
    if exit_code and not found.identical:
        raise typer.Exit(1)


def lines(found: Difference) -> Iterator[Pieces]:
    """The difference in lines for a terminal."""
    for each in found.classes:
        if each.changed:
            yield from _class_lines(each, found.second)
    if found.unchanged and not found.identical:
        yield [(f"unchanged: {', '.join(found.unchanged)}", "dim")]
    yield [(found.summary(), "bold")]


def _class_lines(of: ClassDifference, second: str) -> Iterator[Pieces]:
    renamed = f" ({of.second_name} in {second})" if of.second_name != of.class_name else ""
    grown = f" ({of.counts[0]} -> {of.counts[1]} members)" if of.counts[0] != of.counts[1] else ""
    yield [(of.class_name, "bold"), (f"{renamed}{grown}", "")]
    for number, member in enumerate(of.members):
        changes = [change for change in member if change.kinds]
        if changes and len(of.members) > 1:
            yield [(f"  member {number}", "dim")]
        for change in changes:
            yield _change_line(change)


def _change_line(change: Change) -> Pieces:
    mark, style = _MARKS[change.kinds[0]]
    texts = dict.fromkeys(each.text for each in (change.before, change.after) if each)
    sampled = any(each.samples > 1 for each in (change.before, change.after) if each)
    support = f", support {change.supports}" if sampled or "support" in change.kinds else ""
    return [(f"  {mark} {' -> '.join(texts)}", style), (f"  (rank {change.ranks}{support})", "dim")]
