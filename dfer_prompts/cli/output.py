"""Printing: tables or the same content as JSON on standard output, everything else on standard error.

Progress of long work shows the elapsed time and the remaining time, estimated from the recent speed.
"""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task
    from rich.text import Text


RECENT_S = 900.0  # window of the estimate; at least the last two reports
APART_S = 1.0  # seconds between two reports that are both kept


class Pace:
    """The speed of work, from its reports: a time in seconds, units done, units in total.

    Units done at the first report are not work of this process. If the total changes or fewer units are done
    than before, a new stage has started, and earlier reports are dropped.
    """

    def __init__(self, now: float) -> None:
        self.begun, self.total = now, 0.0
        self.reports: deque[tuple[float, float]] = deque()

    def add(self, now: float, done: float, total: float) -> None:
        """Add a report."""
        if total != self.total or (self.reports and done < self.reports[-1][1]):
            self.reports.clear()
            self.total = total
        if len(self.reports) > 1 and now - self.reports[-2][0] < APART_S:
            self.reports.pop()
        self.reports.append((now, done))
        while len(self.reports) > 2 and now - self.reports[1][0] >= RECENT_S:
            self.reports.popleft()

    def left(self, now: float) -> float | None:
        """The seconds remaining; None until some work is done."""
        if not self.reports:
            return None
        (first, before), (last, done) = self.reports[0], self.reports[-1]
        if done <= before or last <= first:
            return None
        return max(0.0, (self.total - done) * (last - first) / (done - before) - (now - last))

    def text(self, now: float) -> str:
        """ "0:12:30 elapsed, 1:20:00 left"; "" in the first second."""
        if now - self.begun < 1:
            return ""
        left = self.left(now)
        return f"{clock(now - self.begun)} elapsed" + ("" if left is None else f", {clock(left)} left")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: "1:20:00"."""
    return str(timedelta(seconds=int(seconds)))


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


QUIET_S = 30.0
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_UNBOUND = (
    10_000  # columns; a tree is cut at the width of the console, and a terminal breaks long lines itself
)
# Printable for Python but invisible on a terminal: fillers, combining joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_bars: list[Console] = []  # consoles that currently show a progress bar
Pieces = Sequence[tuple[str, str]]  # a line in pieces of (text, style)


class Branch(NamedTuple):
    """One line of a tree and the branches below it."""

    line: Pieces
    below: list[Branch]


class Report(Protocol):
    """Progress callback: units done (with a fraction of the current one), units in total, a note."""

    def __call__(self, done: float, total: int, note: str = "") -> None:
        """Report progress."""


def clean(text: object) -> str:
    """Text safe for a terminal, without invisible characters.

    Removes control characters (including escape sequences), characters that change the writing direction,
    and zero-width ones, which could make two names look the same. White space becomes a space, except for
    line ends and tabs.
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else " "
        for char in _UNSEEN.sub("", str(text))
        if char.isprintable() or char.isspace()
    )


def keep_writable(stream: object) -> None:
    """Make a stream write characters that its encoding lacks as \\uXXXX, where cp1252 would raise an error.

    An error handler set by PYTHONIOENCODING, such as cp1252:replace, is kept.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def _text(text: object) -> Text:
    """Clean text for rich, which would otherwise interpret markup and emoji names (`m:cat:7b`) in it."""
    from rich.text import Text

    return Text(clean(text))


def _assembled(line: Pieces) -> Text:
    from rich.text import Text

    text = Text.assemble(*((clean(text), style) for text, style in line))
    text.rstrip()
    return text


def message(text: str) -> None:
    """Print a line for the user on standard error, above the progress bar if there is one."""
    from rich.console import Console

    console = _bars[-1] if _bars else Console(stderr=True, highlight=False)
    console.print(_text(text), soft_wrap=True)


def print_line(text: str) -> None:
    """Print a sentence of the result on standard output."""
    sys.stdout.write(f"{clean(text)}\n")


def print_pieces(lines: Iterable[Pieces]) -> None:
    """Print lines of a result on standard output, each in styled pieces; colours on a terminal only."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(_assembled(line))


def print_tree(root: Branch) -> None:
    """Print a tree on standard output; colours on a terminal only, lines are not wrapped."""
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(_assembled(root.line))
    waiting = [(root, tree)]
    while waiting:
        branch, drawn = waiting.pop()
        waiting += [(each, drawn.add(_assembled(each.line))) for each in branch.below]
    Console(highlight=False, soft_wrap=True, width=_UNBOUND).print(tree)


def print_json(value: Any) -> None:
    """Print the value as JSON, alone on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output; numbers are right-aligned, floats have two decimals.

    If it is too wide for the terminal, cells are wrapped between words, and within words only if necessary.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    listed = [tuple(row) for row in rows]
    shown = [[_text(f"{cell:.2f}" if isinstance(cell, float) else cell) for cell in row] for row in listed]
    headers = [_text(column) for column in columns]
    margins = 2 * len(columns)  # of this box: one at each edge, two between columns
    widths = _widths(list(zip(headers, *shown, strict=True)), console.width - margins)
    table = Table(header_style="bold", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for index, header in enumerate(headers):
        numeric = bool(listed) and all(_NUMBER.fullmatch(row[index].plain) for row in shown)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(header, justify=justify, overflow="fold", width=widths[index])
    for row in shown:
        table.add_row(*row)
    console.print(_text(title), style="bold", soft_wrap=True)
    console.print(table)


def _widths(columns: Sequence[Sequence[Text]], room: int) -> list[int]:
    """The width of each column: that of its cells or, if they do not fit, at least its longest word."""
    from rich.cells import cell_len

    full = [max(each.cell_len for text in column for each in text.split()) for column in columns]
    if sum(full) <= room:
        return full
    words = [[word for text in column for word in text.plain.split()] for column in columns]
    widths = [max(map(cell_len, column), default=0) for column in words]
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    for _ in range(room - sum(widths)):
        growing = [index for index, width in enumerate(widths) if width < full[index]]
        widths[min(growing, key=widths.__getitem__)] += 1
    return widths


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """A progress bar on a terminal; otherwise a line per tenth of the work and every half minute.

    Both on standard error, with the time elapsed and an estimate of the time remaining.
    """
    from rich.console import Console

    console, pace = Console(stderr=True, highlight=False), Pace(time.monotonic())
    if console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        description = TextColumn("{task.description}", markup=False)
        columns = (description, BarColumn(), MofNCompleteColumn(), _time_column(pace))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(clean(label), total=None)

            def report(done: float, total: int, note: str = "") -> None:
                pace.add(time.monotonic(), done, total)
                bar.update(task, completed=done, total=total, description=clean(f"{label} {note}".strip()))

            _bars.append(console)
            try:
                yield report
            finally:
                _bars.pop()
    else:
        yield _plain_lines(label, pace)


def _time_column(pace: Pace) -> ProgressColumn:
    """The time elapsed and remaining. Rich's own forgets what was reported more than 30 s ago."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Times(ProgressColumn):
        def render(self, task: Task) -> Text:  # noqa: ARG002 - `pace` estimates the time of the work
            return Text(pace.text(time.monotonic()), style="progress.remaining")

    return Times()


def _plain_lines(label: str, pace: Pace) -> Callable[..., None]:
    last_tenth, last_time = -1, 0.0

    def report(done: float, total: int, note: str = "") -> None:
        nonlocal last_tenth, last_time
        tenth, now = int(10 * done // max(total, 1)), time.monotonic()
        pace.add(now, done, total)
        if tenth != last_tenth or now - last_time > QUIET_S:
            last_tenth, last_time = tenth, now
            line = f"{label}: {int(done)}/{total} {note}".rstrip()
            message("; ".join(each for each in (line, pace.text(now)) if each))

    return report
