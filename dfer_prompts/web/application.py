"""The page as an ASGI application: Gradio's, closed but for what the page needs, behind the guard."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from fastapi.routing import Mount
from gradio import routes
from gradio.route_utils import upload_fn
from gradio.routes import App

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
) -> tuple[Guard, Callable[[], None]]:
    """What a server runs, and what ends its open connections; the arguments are those of `serve`, `Guard`."""
    page = build(workspace, files, most_mb)
    routes.upload_fn = _upload_apart  # type: ignore[attr-defined]
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
    mounted = next(route.app for route in app.routes if isinstance(route, Mount))
    page.app = cast(App, mounted)  # where `close` looks
    guard = Guard(app, hosts=hosts, files=files, most_bytes=most_mb * 2**20)
    return guard, partial(page.close, verbose=False)


async def _upload_apart(request: Any, upload_dir: str | Path, *args: Any, **kwargs: Any) -> Any:
    """Gradio's `upload_fn`, each upload in a folder of its own.

    Gradio names the folder by the content, so that two people who upload the same file would share one path,
    and the file is deleted when the first of them is answered.
    """
    folder = Path(upload_dir) / secrets.token_hex(16)
    try:
        return await upload_fn(request, folder, *args, **kwargs)
    except BaseException:  # an upload that breaks off leaves nothing
        shutil.rmtree(folder, ignore_errors=True)
        raise
