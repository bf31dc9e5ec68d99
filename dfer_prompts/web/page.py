"""The page: its tabs and its theme."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from ..workspace import Workspace
from .comparisons_tab import comparisons_tab
from .descriptions_tab import descriptions_tab
from .fragments import fragment, piece
from .predict_tab import predict_tab

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
