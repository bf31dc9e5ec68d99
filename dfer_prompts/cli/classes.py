"""`dfer-prompts classes`: list the class sets, show the classes of one."""

from __future__ import annotations

from typing import Annotated

import typer

from .completion import class_sets
from .output import JsonOption, print_json, print_table

commands = typer.Typer(no_args_is_help=True, help="Class sets: list, show.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to the root command."""
    app.add_typer(commands, name="classes")


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the shipped class sets.

    Example: dfer-prompts classes list
    """
    from ..classes import class_set_names, load_class_set

    sets = [load_class_set(name) for name in class_set_names()]
    if as_json:
        print_json([{"name": each.name, "classes": len(each.names)} for each in sets])
    else:
        rows = [(each.name, len(each.names), _shortened(each.names)) for each in sets]
        print_table("Class sets", ["name", "classes", "in label order"], rows)


@commands.command(short_help="Show the classes of a set in label order.")
def show(
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=class_sets,
            metavar="NAME|FILE",
            help="A shipped class set, or your own YAML file.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Show the classes of a set in label order, with their words and aliases.

    Example: dfer-prompts classes show mafw
    """
    from ..classes import load_class_set

    shown = load_class_set(name)
    rows = [
        {"label": label, "name": each.name, "words": each.words, "aliases": list(each.aliases)}
        for label, each in enumerate(shown.classes)
    ]
    if as_json:
        print_json({"name": shown.name, "classes": rows})
    else:
        cells = [
            (label, each.name, each.words, ", ".join(each.aliases))
            for label, each in enumerate(shown.classes)
        ]
        print_table(f"Class set {shown.name}", ["label", "name", "words", "aliases"], cells)


def _shortened(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < 12 else f"{', '.join(names[:11])} and {len(names) - 11} more"
