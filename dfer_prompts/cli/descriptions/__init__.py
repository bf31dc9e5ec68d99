"""`dfer-prompts descriptions`: the commands on versions, one file per kind."""

from __future__ import annotations

import typer

from . import diff, edit, exchange, hub, lint, log, score, search, show

commands = typer.Typer(no_args_is_help=True, help="Description sets: show, edit, check, exchange.")
for module in (show, diff, edit, log, lint, score, search, exchange, hub):
    module.register(commands)


def register(app: typer.Typer) -> None:
    """Add the group to the root command."""
    app.add_typer(commands, name="descriptions")
