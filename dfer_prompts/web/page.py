"""The page as a whole: its tabs, and how it looks."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from ..workspace import Workspace
from .comparisons import comparisons_tab
from .descriptions import descriptions_tab
from .fragments import fragment
from .predicting import predict_tab

STYLE = Path(__file__).with_name("page.css")
# Seconds: how often what was uploaded and never asked about is looked for, and how old it may become.
LEFT_BEHIND = (600, 3600)


def build(workspace: Workspace, files: Path, most_mb: int) -> gr.Blocks:
    """The page of a workspace; `files` is the folder that uploads and downloads lie in for a while."""
    with gr.Blocks(title="dfer-prompts", analytics_enabled=False, delete_cache=LEFT_BEHIND) as page:
        gr.HTML(fragment("head", workspace=workspace.root), js_on_load=None)
        with gr.Tab("Descriptions"):
            descriptions_tab(workspace, page)
        with gr.Tab("Predict"):
            predict_tab(workspace, page, most_mb)
        with gr.Tab("Comparisons"):
            comparisons_tab(workspace, page, files)
    return page.queue(default_concurrency_limit=2, api_open=False)


def theme() -> gr.themes.Base:
    """Quiet colours, and the fonts that the computer has: none is fetched."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.cyan,
        neutral_hue=gr.themes.colors.slate,
        font=[gr.themes.Font(each) for each in sans],
        font_mono=[gr.themes.Font(each) for each in mono],
    )
