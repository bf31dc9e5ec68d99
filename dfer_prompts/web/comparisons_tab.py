"""The tab *Comparisons*: comparisons and finished runs of the workspace, and their reports."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..api.report import report
from ..api.run_index import comparisons, finished, finished_runs
from ..llm.redaction import PROBLEMS
from ..workspace import Workspace
from .fragments import fragment, piece, problem

NOTHING = (
    "This workspace has no comparisons or finished runs.",
    "Create one: dfer-prompts compare v1@2 v1@4 --controls --dataset DIR, or dfer-prompts demo; then reload "
    "the page.",
)
WITHIN = '<base href="about:srcdoc">'  # without it, links to anchors of the report would lead to this page
FORMATS = {"html": "HTML", "md": "Markdown", "tex": "LaTeX"}


def comparisons_tab(workspace: Workspace, page: gr.Blocks, files: Path) -> None:
    """Add the tab's components to the page; reports to download are written to `files`."""
    chosen = gr.Dropdown(label="Comparison or run")
    show = gr.Button("Show report", variant="primary", elem_classes="ask")
    with gr.Row():
        downloads = [
            gr.DownloadButton(f"Download {name}", visible=False, elem_classes="ask")
            for name in FORMATS.values()
        ]
    shown = piece()
    listed = piece()

    def renew() -> tuple[Any, str]:
        names = [each.id for each in (*comparisons(workspace), *finished_runs(workspace))]
        return gr.Dropdown(choices=names, value=names[0] if names else None), everything(workspace)

    gr.on(page.load, renew, outputs=[chosen, listed], show_progress="hidden")
    show.click(partial(reported, workspace, files), chosen, [shown, *downloads])


def everything(workspace: Workspace) -> str:
    """The comparisons and finished runs, or how to create some."""
    compared, trained = comparisons(workspace), finished_runs(workspace)
    if not compared and not trained:
        return fragment("said", lines=NOTHING)
    parts = [("comparison", compared), ("run", trained)]
    return "".join(fragment("finished", title=title, listed=listed) for title, listed in parts if listed)


def reported(workspace: Workspace, files: Path, name: str | None) -> list[Any]:
    """The report, created from stored results, in a frame without scripts, and its files."""
    if name is None:
        return [fragment("said", lines=NOTHING), *(gr.skip() for _ in FORMATS)]
    try:
        found = finished(name, workspace)
        home = workspace.root / "comparisons" if found.is_comparison else workspace.runs
        folder = Path(tempfile.mkdtemp(dir=files))
        made = [
            report(home / found.id, out=folder / f"{found.id}.{ending}", workspace=workspace).path
            for ending in FORMATS
        ]
    except PROBLEMS as error:
        return [problem(error), *(gr.DownloadButton(visible=False) for _ in FORMATS)]
    text = made[0].read_text(encoding="utf-8").replace("<head>", f"<head>{WITHIN}", 1)
    page = fragment("report", name=name, page=text)
    return [page, *(gr.DownloadButton(value=path, visible=True) for path in made)]
