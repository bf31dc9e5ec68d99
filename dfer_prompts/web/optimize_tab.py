"""The tab *Optimize*: the finished optimisations of the workspace, and the report of each."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import InputError, unknown
from ..llm.redaction import PROBLEMS
from ..optimization.log import OptimizationLog, logs
from ..workspace import Workspace
from .fragments import fragment, piece, problem
from .report_frame import download_buttons, framed, without_report

NOTHING = (
    "This workspace has no optimisations.",
    "Create one: dfer-prompts optimize v1@4 --dataset DIR --folds 2-5; then reload the page.",
)


def optimize_tab(workspace: Workspace, page: gr.Blocks, files: Path) -> None:
    """Add the tab's components to the page; reports to download are written to `files`."""
    chosen = gr.Dropdown(label="Optimisation")
    show = gr.Button("Show optimisation", variant="primary", elem_classes="ask")
    with gr.Row():
        downloads = download_buttons()
    shown, listed = piece(), piece()

    def renew() -> tuple[Any, str]:
        names = [each.stem for each in logs(workspace)]
        return gr.Dropdown(choices=names, value=names[0] if names else None), optimizations(workspace)

    gr.on(page.load, renew, outputs=[chosen, listed], show_progress="hidden")
    show.click(partial(optimization, workspace, files), chosen, [shown, *downloads])


def optimizations(workspace: Workspace) -> str:
    """The finished optimisations, the newest first, or how to create one."""
    found = [_line(each) for each in logs(workspace)]
    if not found:
        return fragment("said", lines=NOTHING)
    return fragment("finished", title="optimisation", listed=found)


def optimization(workspace: Workspace, files: Path, name: str | None) -> list[Any]:
    """The report of the optimisation `name`: score over rounds, accepted and refused edits, and gains."""
    if name is None:
        return without_report(fragment("said", lines=NOTHING))
    try:
        known = {each.stem: each for each in logs(workspace)}
        if name not in known:
            raise unknown("optimisation", name, known)
        return framed(known[name], name, workspace, files)
    except PROBLEMS as error:
        return without_report(problem(error))


def _line(path: Path) -> dict[str, Any]:
    """A row of the table; a damaged log is listed with its error."""
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        of = OptimizationLog.open(path)
    except (InputError, OSError) as error:
        return {"id": path.stem, "what": str(error), "found": (), "written": written}
    accepted = sum(each.accepted for each in of.rounds)
    rounds = f"{accepted} of {len(of.rounds)} rounds accepted"
    first = f"from {of.result.of}, " if of.result.of else ""
    what = f"{first}by {of.settings.model} on {of.result.dataset}"
    return {"id": path.stem, "what": what, "found": (rounds, of.confirmed), "written": written}
