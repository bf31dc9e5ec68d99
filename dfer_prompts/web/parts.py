"""Parts of the page that look the same wherever they stand."""

from __future__ import annotations

import gradio as gr


def piece(value: str = "", name: str | None = None) -> gr.HTML:
    """A place for a fragment of HTML, without Gradio's own style; `name` is its id in the page."""
    return gr.HTML(value, js_on_load=None, apply_default_css=False, elem_classes="piece", elem_id=name)
