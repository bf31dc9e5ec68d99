"""Progress of language-model requests class by class, and their summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..defaults import dollars
from ..errors import Interrupted
from .output import QUIET_S, clean, message

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..generation.run import Outcome
    from ..llm.usage import Progress, Report, Tally
    from ..workspace import Workspace

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class RequestProgress:
    """Where progress and notes go while a language model is queried."""

    report: Report
    note: Callable[[str], None] = message


def confirmed_url(
    workspace: Workspace, base_url: str | None, models: Sequence[str | None] = ()
) -> str | None:
    """The base URL as given, or that of `dfer.yaml` once the user has confirmed it on a terminal.

    An address is confirmed once per workspace, and only if a model other than the demo model is in `models`
    or none is given. Raises InputError if the user declines.
    """
    from ..llm.confirmations import confirm
    from ..llm.endpoint import DEMO_MODEL, unconfirmed, url_to_confirm
    from ..workspace import FILE

    if set(models) == {DEMO_MODEL}:
        return base_url
    url = url_to_confirm(workspace, base_url)
    if url is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return base_url
    file = workspace.root / FILE
    message(
        f"{file} names the endpoint {url}. It would receive your prompts, and OPENAI_API_KEY if that is set."
    )
    try:
        agreed = typer.confirm("Use it for this workspace from now on?", err=True)
    except typer.Abort:
        raise Interrupted("Stopped: nothing was sent") from None
    if not agreed:
        raise unconfirmed(file, url)
    try:
        confirm(workspace.root, url)
    except OSError as error:
        message(f"The confirmation cannot be stored and will be requested again: {error}")
        return url
    return base_url


@contextmanager
def request_progress() -> Iterator[RequestProgress]:
    """A live table on a terminal; otherwise a line per tenth of the work. On standard error.

    If the work ends in an error, a line reports the requests made until then.
    """
    from rich.console import Console

    latest: list[Progress] = []
    console = Console(stderr=True, highlight=False)
    try:
        if console.is_terminal:
            with _live(console, latest) as shown:
                yield shown
        else:
            yield RequestProgress(_plain_lines(latest))
    except BaseException:
        if latest and (total := latest[0].total).answered + total.retried:
            message(f"Until then: {_counts(total)}")
        raise


@contextmanager
def _live(console: Console, latest: list[Progress]) -> Iterator[RequestProgress]:
    from rich.live import Live

    def report(progress: Progress) -> None:
        latest[:] = [progress]

    begun = time.monotonic()

    def shown() -> Table | str:
        if not latest:
            return ""
        table = _table(latest[0], console.height)
        table.caption = (
            f"{time.monotonic() - begun:.0f} s"  # changes even while the server delays all requests
        )
        return table

    with Live(get_renderable=shown, console=console, transient=True, refresh_per_second=5) as live:
        # Printed through the display's own console, a note appears above the table and not in it.
        yield RequestProgress(report, lambda sentence: live.console.print(clean(sentence), markup=False))


def _table(progress: Progress, height: int) -> Table:
    """All classes if they fit on the screen, else those in progress and as many others as fit."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(clean(progress.title)), header_style="bold", box=SIMPLE_HEAD)
    table.add_column("class")
    for column in ("done", "stored", "failed", "retried", "tokens"):
        table.add_column(column, justify="right")
    room = max(height - 9, 1)
    rows = list(progress.classes.items())
    if len(rows) > room:
        rows = sorted(rows, key=lambda row: row[1].done == row[1].requests)[:room]
    for name, tally in rows:
        table.add_row(escape(clean(name)), *_cells(tally))
    table.add_section()
    table.add_row("retrying" if progress.retrying else "all", *_cells(progress.total), style="bold")
    return table


def _cells(tally: Tally) -> tuple[str, ...]:
    tokens = f"{tally.prompt_tokens} + {tally.completion_tokens}"
    return f"{tally.done}/{tally.requests}", str(tally.found), str(tally.failed), str(tally.retried), tokens


def _plain_lines(latest: list[Progress]) -> Report:
    last_tenth, last_time, was_retrying = -1, 0.0, False

    def report(progress: Progress) -> None:
        nonlocal last_tenth, last_time, was_retrying
        latest[:] = [progress]
        total, now = progress.total, time.monotonic()
        tenth = 10 * total.done // max(total.requests, 1)
        news = tenth != last_tenth or (progress.retrying and not was_retrying)
        if news or now - last_time > QUIET_S:
            last_tenth, last_time, was_retrying = tenth, now, progress.retrying
            at = f"; {'retrying ' if progress.retrying else ''}{progress.latest}" if progress.latest else ""
            message(f"{progress.title}: {total.done}/{total.requests} answers, {_counts(total)}{at}")

    return report


def _counts(total: Tally) -> str:
    return (
        f"{total.answered} requested, {total.found} stored, {total.failed} failed, {total.retried} retried, "
        f"{total.prompt_tokens} + {total.completion_tokens} tokens"
    )


def outcome_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome as `--json` prints it; empty if no model was queried."""
    manifest = outcome.descriptions.manifest
    if manifest.source not in ("llm", "frames"):
        return {}
    return {
        "template": manifest.template,
        "model": manifest.model,
        "base_url": manifest.base_url,
        "asked": outcome.asked,
        "found": outcome.found,
        "failed": outcome.failed,
        "retried": outcome.retried,
        "tokens": {"prompt": outcome.prompt_tokens, "completion": outcome.completion_tokens},
        "cost": outcome.cost,
        "readings": manifest.readings,
        "failures": manifest.failures,
    }


def summary(outcome: Outcome) -> str:
    """The same as a few lines of text."""
    prompt, completion = outcome.prompt_tokens, outcome.completion_tokens
    tokens = (
        "tokens not reported"
        if prompt is None and outcome.asked
        else f"{prompt or 0} + {completion or 0} tokens"
    )
    cost = "" if outcome.cost is None else f", {dollars(outcome.cost)}"
    lines = [
        f"Requested {outcome.asked}, found stored {outcome.found}, failed {outcome.failed}, "
        f"retried {outcome.retried}; {tokens}{cost}"
    ]
    readings = outcome.descriptions.manifest.readings
    if any(row["request"]["response_format"] != "text" for row in outcome.responses):
        lines.append("Read as " + ", ".join(f"{form}: {count}" for form, count in readings.items()))
    failures = outcome.descriptions.manifest.failures
    lines += [
        f"  {each['class_name']}{_clip(each)}, sample {each['sample']}: {each['reason']} ({each['detail']})"
        for each in failures[:SHOWN_FAILURES]
    ]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - SHOWN_FAILURES} more, in the manifest")
    return "\n".join(lines)


def _clip(failure: Mapping[str, Any]) -> str:
    """The clip of a failure, if it is about one."""
    return f", {failure['clip_id']}" if "clip_id" in failure else ""
