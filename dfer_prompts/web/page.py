"""The page: its theme, its tabs, and the tab *Comparisons*.

That tab shows comparisons and finished runs of the workspace, and their reports.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..api.run_index import comparisons, finished, finished_runs
from ..llm.redaction import PROBLEMS
from ..workspace import Workspace
from .descriptions_tab import descriptions_tab
from .fragments import fragment, piece, problem
from .generate_tab import generate_tab
from .optimize_tab import optimize_tab
from .predict_tab import predict_tab
from .report_frame import download_buttons, framed, without_report

NOTHING = (
    "This workspace has no comparisons or finished runs.",
    "Create one: dfer-prompts compare v1@2 v1@4 --controls --dataset DIR, or dfer-prompts demo; then reload "
    "the page.",
)


def comparisons_tab(workspace: Workspace, page: gr.Blocks, files: Path) -> None:
    """Add the tab's components to the page; reports to download are written to `files`."""
    chosen = gr.Dropdown(label="Comparison or run")
    show = gr.Button("Show report", variant="primary", elem_classes="ask")
    with gr.Row():
        downloads = download_buttons()
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
        return without_report(fragment("said", lines=NOTHING))
    try:
        found = finished(name, workspace)
        home = workspace.root / "comparisons" if found.is_comparison else workspace.runs
        return framed(home / found.id, found.id, workspace, files)
    except PROBLEMS as error:
        return without_report(problem(error))


STYLE = Path(__file__).with_name("page.css")
# As in the reports.
BLUE = gr.themes.Color(
    "#f0f6fa", "#dcebf3", "#bcd8e7", "#8fbdd6", "#5d9dbf", "#3d82a6", "#2d6f93", "#1f5f80", "#1b4e69",
    "#183f55", "#102a39", name="blue",
)  # fmt: skip
# Seconds: the interval of the search for unused uploads, and their maximum age.
LEFT_BEHIND = (600, 3600)


def build(workspace: Workspace, files: Path, most_mb: int, *, may_query: bool = True) -> gr.Blocks:
    """The page of a workspace; `files` is the temporary folder of uploads and downloads.

    `may_query`: whether visitors may query the configured language model.
    """
    page = gr.Blocks(title="dfer-prompts", analytics_enabled=False, delete_cache=LEFT_BEHIND)
    with page:
        piece(fragment("head", workspace=workspace.root))
        generated = gr.State("")  # the name of the last version of the tab Generate
        with gr.Tab("Descriptions"):
            descriptions_tab(workspace, page, generated.change)
        with gr.Tab("Generate"):
            generate_tab(workspace, page, generated, may_query=may_query)
        with gr.Tab("Optimize"):
            optimize_tab(workspace, page, files)
        with gr.Tab("Predict"):
            predict_tab(workspace, page, files, most_mb, generated.change)
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
