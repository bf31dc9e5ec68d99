"""`descriptions log`: how sets were derived from each other, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..completion import versions
from ..output import Branch, JsonOption, Pieces, message, print_json, print_tree

if TYPE_CHECKING:
    from ...versions.lineage import Entry


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command(short_help="Show how sets were derived from each other.")(log)


def log(
    context: typer.Context,
    ref: Annotated[
        str | None,
        typer.Argument(
            autocompletion=versions, metavar="V", help="The version to start from.", show_default="all"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how sets were derived from each other: below each version, its parents.

    The tree is read from the manifests of the versions in the workspace. A parent that is missing or has
    changed since is marked.

    Example: dfer-prompts descriptions log
    """
    from ...versions.lineage import log as log_of
    from ...versions.store import DescriptionStore

    entries = log_of(DescriptionStore(context.obj), ref)
    if as_json:
        print_json([entry.as_dict() for entry in entries])
        return
    for tree in _trees(entries):
        print_tree(tree)
    for entry in entries:
        if entry.problem:
            message(f"{entry.name} cannot be read: {entry.problem}")


def _trees(entries: Sequence[Entry]) -> Iterator[Branch]:
    """A tree for each version that is in no earlier tree; each version shows its parents once per tree."""
    by_name = {entry.name: entry for entry in entries}
    shown: set[str] = set()
    for entry in entries:
        if entry.name in shown:
            continue
        top = Branch([], [])
        waiting: list[tuple[str, str | None, Branch]] = [(entry.name, None, top)]
        while waiting:
            ref, problem, above = waiting.pop()
            name = ref.partition("@")[0]
            known = by_name.get(name)
            branch = Branch([*_pieces(ref, known, again=name in shown), (f"  {problem or ''}", "red")], [])
            above.below.append(branch)
            if known is not None and name not in shown:
                waiting += [(each.ref, each.problem, branch) for each in reversed(known.parents)]
            shown.add(name)
        yield from top.below


def _pieces(ref: str, entry: Entry | None, *, again: bool) -> Pieces:
    if entry is None:
        return [(ref, "bold")]
    if again:
        return [(ref, "bold"), ("  (above)", "dim")]
    return [(ref, "bold"), (f"  {entry.created[:16].replace('T', ' ')}", "dim"), (f"  {entry.how}", "")]
