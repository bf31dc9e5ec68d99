"""`dfer-prompts descriptions`: all that is done with versions; a file for each kind of work."""

from __future__ import annotations

import typer

from . import diff, edit, exchange, hub, lint, log, score, search, show

commands = typer.Typer(no_args_is_help=True, help="Description sets: the versions, and all done with them.")
for module in (show, diff, edit, log, lint, score, search, exchange, hub):
    module.register(commands)


def register(app: typer.Typer) -> None:
    """Add the group to the root command."""
    app.add_typer(commands, name="descriptions")
