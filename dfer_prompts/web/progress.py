"""Progress of the page's work, which ends when the browser that asked for it has disconnected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import gradio as gr
from gradio.context import LocalContext

from ..errors import Interrupted

if TYPE_CHECKING:
    from dfer_model.progress import Progress

    from ..llm.usage import Progress as Requests
    from ..llm.usage import Report

LEFT = "The browser disconnected before the work was complete"


def stages(bar: gr.Progress) -> Progress:
    """Report progress to Gradio; raise Interrupted once the browser has disconnected."""

    def report(done: int, total: int, note: str = "") -> None:
        if _has_left():
            raise Interrupted(LEFT)
        bar((done, total), desc=note)

    @contextmanager
    def stage(_name: str) -> Iterator[Callable[..., None]]:
        yield report

    return stage


def requests(bar: gr.Progress) -> Report:
    """Report the requests to a language model to Gradio; raise Interrupted as `stages` does."""

    def report(progress: Requests) -> None:
        if _has_left():
            raise Interrupted(LEFT)
        total = progress.total
        failed = f", {total.failed} failed" if total.failed else ""
        bar((total.done, total.requests), desc=f"{progress.title}: {progress.latest or 'requests'}{failed}")

    return report


def _has_left() -> bool:
    """Whether the browser whose request this thread handles has disconnected."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    jobs = blocks._queue.active_jobs if isinstance(blocks, gr.Blocks) else []
    return any(not job.alive for each in jobs for job in each or () if job._id == event)
