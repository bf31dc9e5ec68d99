"""The page: its theme, its tabs, and the tab *Comparisons*.

That tab shows comparisons and finished runs of the workspace, and their reports.
"""

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
from .descriptions_tab import descriptions_tab
from .fragments import fragment, piece, problem
from .predict_tab import predict_tab

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


STYLE = Path(__file__).with_name("page.css")
# As in the reports.
BLUE = gr.themes.Color(
    "#f0f6fa", "#dcebf3", "#bcd8e7", "#8fbdd6", "#5d9dbf", "#3d82a6", "#2d6f93", "#1f5f80", "#1b4e69",
    "#183f55", "#102a39", name="blue",
)  # fmt: skip
# Seconds: the interval of the search for unused uploads, and their maximum age.
LEFT_BEHIND = (600, 3600)


def build(workspace: Workspace, files: Path, most_mb: int) -> gr.Blocks:
    """The page of a workspace; `files` is the temporary folder of uploads and downloads."""
    page = gr.Blocks(title="dfer-prompts", analytics_enabled=False, delete_cache=LEFT_BEHIND)
    with page:
        piece(fragment("head", workspace=workspace.root))
        with gr.Tab("Descriptions"):
            descriptions_tab(workspace, page)
        with gr.Tab("Predict"):
            predict_tab(workspace, page, files, most_mb)
        with gr.Tab("Comparisons"):
            comparisons_tab(workspace, page, files)
    page.queue(default_concurrency_limit=2, api_open=False)
    return page


def theme() -> gr.themes.Base:
    """Neutral colours and system fonts; no fonts are downloaded."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]
    return gr.themes.Base(
        primary_hue=BLUE,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=[gr.themes.Font(each) for each in sans],
        font_mono=[gr.themes.Font(each) for each in mono],
    ).set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_background_color_selected="*primary_700",
    )
