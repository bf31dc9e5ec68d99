"""A report on the page: in a frame without scripts, with its files to download."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from ..api.report import report
from ..workspace import Workspace
from .fragments import fragment

WITHIN = '<base href="about:srcdoc">'  # without it, links to anchors of the report would lead to this page
FORMATS = {"html": "HTML", "md": "Markdown", "tex": "LaTeX"}


def download_buttons() -> list[gr.DownloadButton]:
    """A button for each format, hidden until there is a report."""
    return [
        gr.DownloadButton(f"Download {name}", visible=False, elem_classes="ask") for name in FORMATS.values()
    ]


def framed(of: Path, name: str, workspace: Workspace, files: Path) -> list[Any]:
    """The report of `of`, made from stored results: the frame, and the buttons with their files in `files`.

    Raises InputError if what is stored is damaged.
    """
    folder = Path(tempfile.mkdtemp(dir=files))
    made = [report(of, out=folder / f"{name}.{ending}", workspace=workspace).path for ending in FORMATS]
    text = made[0].read_text(encoding="utf-8").replace("<head>", f"<head>{WITHIN}", 1)
    page = fragment("report", name=name, page=text)
    return [page, *(gr.DownloadButton(value=path, visible=True) for path in made)]


def without_report(said: str) -> list[Any]:
    """A fragment in place of a report, with hidden buttons."""
    return [said, *(gr.DownloadButton(visible=False) for _ in FORMATS)]
