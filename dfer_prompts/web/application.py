"""The page as an ASGI application: Gradio's, closed but for what the page needs, behind the guard."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from ..workspace import Workspace
from .guard import Guard
from .page import STYLE, build, theme


def application(
    workspace: Workspace,
    files: Path,
    accounts: dict[str, str] | None,
    most_mb: int,
    *,
    hosts: Collection[str] | None,
) -> Guard:
    """What a server runs; the arguments are those of `serve` and of `Guard`."""
    page = build(workspace, files, most_mb)
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        footer_links=[],
        run_history=False,
        auth=list(accounts.items()) if accounts else None,
        max_file_size=f"{most_mb}mb",
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        theme=theme(),
        css_paths=STYLE,
    )
    page.has_launched = True  # only then does Gradio ask where a file lies that a browser names
    return Guard(app, hosts=hosts, files=files, most_bytes=most_mb * 2**20)
