"""`dfer-prompts ensemble`: combine several description sets into one new version."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..errors import InputError
from .completion import versions
from .output import JsonOption, message, print_json, print_table


class How(StrEnum):
    """How sets are combined."""

    members = "members"
    vote = "vote"


def register(app: typer.Typer) -> None:
    """Add this file's command to the root command."""
    app.command(short_help="Combine several description sets into one.")(ensemble)


def ensemble(
    context: typer.Context,
    refs: Annotated[
        list[str],
        typer.Argument(autocompletion=versions, metavar="V", help="Description sets or views of them."),
    ],
    how: Annotated[
        How, typer.Option(help="members: one description per set for each class; vote: one description.")
    ] = How.members,
    weights: Annotated[
        str | None, typer.Option(metavar="2,1", help="A weight per set.", show_default="equal")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Descriptors kept per class by a vote.", show_default="all")
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new version's name.", show_default="the next")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Combine several description sets into one, for the classes that all of them cover.

    With members, a class's classifier weight is the mean over all the sets' descriptions of it; a set of
    weight 2 is included twice, so weights are whole numbers. With vote, a class has one description: the
    descriptors with the most votes, each set voting with its weight.

    Example: dfer-prompts ensemble v1 v2@4 --how vote --top-k 5 --version voted
    """
    from ..ensembles import left_out, members, vote
    from ..versions.store import DescriptionStore

    store = DescriptionStore(context.obj)
    if version is not None:
        store.check_name(version)
    weighed = _numbers(weights) if weights is not None else None
    if how is How.members and top_k is not None:
        view = f"{refs[0].partition('@')[0]}@{top_k}"
        raise InputError(f"--top-k requires --how vote; with members give views: {view}")
    sets = [store.load(ref) for ref in refs]
    draft = members(sets, weighed) if how is How.members else vote(sets, top_k, weighed)
    saved = store.save(draft, version)
    folder = str(store.path(saved.name))
    missing = left_out(saved)
    if as_json:
        texts = {
            name: [[each.text for each in member] for member in listed]
            for name, listed in saved.members.items()
        }
        print_json({"version": saved.name, "folder": folder, "left_out": missing, "classes": texts})
        return
    rows = [
        (name, saved.description(name, member))
        for name in saved.class_names
        for member in range(len(saved.members[name]))
    ]
    print_table(f"{saved.name}, {how} of {', '.join(refs)}", ["class", "description"], rows)
    if missing:
        message(f"Left out because not all sets cover them: {', '.join(missing)}")
    message(f"Written to {folder}\nNext: dfer-prompts descriptions show {saved.name}")


def _numbers(text: str) -> list[float]:
    try:
        return [int(part) if part.strip().isdecimal() else float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--weights needs one number per set, such as 2,1, not {text!r}") from error
