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
        message("\n".join(_expected(each)))


def _expected(run: DryRun) -> list[str]:
    """The lines below the prompts: the number of requests, tokens and dollars."""
    known = "unknown: no model is configured" if run.answered is None else str(run.answered)
    each = "classes" if run.images_folder is None else "prompts"
    lines = [
        f"{run.template}, {run.model or 'no model'}: {run.requests} requests "
        f"({len(run.prompts)} {each} x {run.requests // len(run.prompts)}); already answered: {known}"
    ]
    if run.images_folder is not None:
        lines.append(f"  images of all requests: {run.images_folder}")
    if not run.to_ask:
        return [*lines, "  all answers are stored"]
    if run.sending is not None:
        lines.append(f"  would send {run.sending}")
    return [*lines, *_costs(run)]


def _costs(run: DryRun) -> list[str]:
    from .llm_progress import dollars

    likely = run.likely_completion_tokens
    lines = [
        f"  tokens for the other {run.to_ask}: about {run.prompt_tokens} of prompts (estimated "
        f"{run.estimated_by}) and at most {run.most_completion_tokens} of answers"
        + ("" if likely is None else f"; {likely} at the mean length of the stored answers")
    ]
    if run.most_cost is None:
        return [*lines, "  cost: unknown; give the model's prices in dfer.yaml"]
    likely_cost = "" if run.likely_cost is None else f", likely {dollars(run.likely_cost)}"
    return [*lines, f"  cost: at most {dollars(run.most_cost)}{likely_cost}"]
