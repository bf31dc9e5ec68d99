"""The output of `generate --dry-run`: prompts, requests, tokens, costs and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from .output import clean, message, print_json

if TYPE_CHECKING:
    from ..generation.dry_run import DryRun


def show_dry_run(runs: Sequence[DryRun], as_json: bool) -> None:
    """Print the prompts to standard output and the rest to standard error, or all as JSON."""
    from ..llm.images import shown_text

    if as_json:
        shown = [{**asdict(each), "to_ask": each.to_ask} for each in runs]
        print_json(shown[0] if len(shown) == 1 else shown)
        return
    for each in runs:
        for name, messages in each.prompts.items():
            for one in messages:
                typer.echo(clean(f"[{name}]\n{shown_text([one])}\n"))
        message("\n".join(each.summary()))
