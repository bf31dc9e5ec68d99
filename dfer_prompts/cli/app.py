"""`dfer-prompts`: the root command, its options, and what an error looks like to a person."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dfer_model.errors import DferModelError

from .. import __version__
from ..errors import DferPromptsError
from ..workspace import Workspace
from . import classes, compare, data, demo, descriptions, generate, prompts, run
from .output import message

app = typer.Typer(
    name="dfer-prompts",
    help="Ask a language model what facial expressions look like, keep the answers as versioned description "
    "sets, train DFER-CLIP on them, and compare them honestly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, classes, prompts, generate, descriptions, data, run, compare):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dfer-prompts {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(help="Folder that holds prompts, descriptions and runs.", show_default="current folder"),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Options that go before the command."""
    context.obj = Workspace.find(workspace)


def main() -> None:
    """Run the command line; errors become one or two lines and an exit status (DESIGN section 4)."""
    debug = "--debug" in sys.argv
    try:
        app()
    except (DferPromptsError, DferModelError) as error:
        if debug:
            raise
        message(f"Error: {error}")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        if debug:
            raise
        message("Stopped.")
        sys.exit(130)
    except OSError as error:
        if debug:
            raise
        message(f"Error: {error.strerror or error}: {error.filename or 'no file named'}")
        sys.exit(1)
