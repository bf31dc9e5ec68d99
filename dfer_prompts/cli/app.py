"""`dfer-prompts`: the root command, its options, and how errors are printed.

SIGTERM, which Slurm and others send before they end a job, is handled like Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any, TextIO

import typer
import typer.core

from dfer_model.launch import launched, reports_first
from dfer_model.reports.fonts import FontWarning

from .. import __version__
from ..errors import DeviceWarning, DferError, InputError, system_words
from ..llm.redaction import redact_environment
from ..workspace import Workspace
from . import (
    calibrate,
    classes,
    compare,
    data,
    demo,
    descriptions,
    doctor,
    ensemble,
    explain,
    export,
    generate,
    import_checkpoint,
    optimize,
    predict,
    prompts,
    push_model,
    report,
    reproduce,
    responses,
    serve,
    train,
)
from .output import clean, keep_writable, message

TERMINATED = 128 + signal.SIGTERM
LOST_S = 5.0  # after which an unhandled interrupt counts as lost


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """A context in which SIGTERM interrupts like Ctrl-C; then SystemExit is raised with status 143.

    Does nothing if SIGTERM is ignored or handled already, or outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_default():
        yield
        return
    had = {number: signal.getsignal(number) for number in _signals()}
    came: float | None = None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        # All processes of a job receive the signal, perhaps twice: the second one must not interrupt the
        # saving, nor may the errors that torch raises for workers that have ended.
        if came is not None and (time.monotonic() - came < LOST_S or _is_handled()):
            return
        came = time.monotonic()
        for other in _signals()[1:]:
            signal.signal(other, _ignore)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except SystemExit as ended:
        raise SystemExit(ended.code if came is None else TERMINATED) from None
    finally:
        for number, handler in had.items():
            signal.signal(number, handler)


def _is_default() -> bool:
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _signals() -> tuple[int, ...]:
    """SIGTERM, and SIGCHLD, which is ignored after it."""
    return (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGCHLD)


def _is_handled() -> bool:
    """Whether an interrupt is being handled; a library such as numpy may have dropped it."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler that does nothing; with SIG_IGN, Python would still report a signal just received."""


class CommandTree(typer.core.TyperGroup):
    """The root command, which refuses several datasets for commands that use the last one only."""

    # Typer has its own copy of click since 0.20, so the types of click do not fit all versions.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in click; raises InputError for a repeated --dataset."""
        name, command, rest = super().resolve_command(ctx, args)
        given = [word for word in rest if word == "--dataset" or word.startswith("--dataset=")]
        if len(given) > 1 and name != "train":
            raise InputError(f"{name} takes one dataset, and --dataset is given {len(given)} times")
        return name, command, rest


app = typer.Typer(
    cls=CommandTree,
    name="dfer-prompts",
    help="Generate descriptions of facial expressions with a language model, store them as versioned "
    "description sets, train DFER-CLIP on them, and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Typer's boxes would double the start-up time: they import a Markdown parser.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    demo,
    doctor,
    classes,
    prompts,
    generate,
    optimize,
    responses,
    descriptions,
    ensemble,
    data,
    train,
    calibrate,
    explain,
    predict,
    import_checkpoint,
    export,
    push_model,
    compare,
    report,
    reproduce,
    serve,
):
    module.register(app)

ERRORS = (DferError, OSError)
STOPPED = 130


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"dfer-prompts {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(help="Folder that holds prompts, descriptions and runs.", show_default="current folder"),
    ] = None,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options that go before the command."""
    if launched().several and context.invoked_subcommand != "train":
        raise InputError(
            f"{context.invoked_subcommand} runs in one process; torchrun started {launched().count}\n"
            "Run it without torchrun; compare and reproduce train several runs at a time with --jobs"
        )
    _print_warnings()
    context.obj = Workspace.find(workspace)


def _print_warnings() -> None:
    """Print warnings as notes: a GPU that is not used, characters that the figures' fonts lack."""
    usual, tell = warnings.showwarning, message

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, (FontWarning, DeviceWarning)):
            tell(f"Note: {message}")
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def main() -> None:
    """Run the command line; errors become one or two lines and an exit status."""
    if sys.stdout is None:  # closed by the caller (`>&-`), which is not an error
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    if launched().rank:  # of several processes only the first prints
        sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        keep_writable(stream)
    with ending_on_sigterm():
        _run()


@cache
def command_tree() -> Callable[[], None]:
    """All commands, built once per process: the tests call `main` many times."""
    return typer.main.get_command(app)  # app() would build them in each call and install its own excepthook


def _run() -> None:
    try:
        sys.excepthook = _print_traceback
        command_tree()()
    except ERRORS as error:
        status = getattr(error, "exit_status", 1)
        if not _prints_errors():
            sys.exit(status)
        if "--debug" in sys.argv:
            _print_traceback(type(error), error, error.__traceback__)
            sys.exit(status)
        says = redact_environment(_sentence(error))
        message(says if status == STOPPED else f"Error: {says}")
        sys.exit(status)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback on standard error, with API keys that it may quote removed."""
    if not _prints_errors():
        return
    text = clean("".join(traceback.format_exception(kind, error, trace)))
    sys.stderr.write(redact_environment(text))


def _prints_errors() -> bool:
    """Whether this process prints the error that ends it and the processes started with it."""
    if reports_first():
        sys.stderr = sys.__stderr__ if launched().rank else sys.stderr
        return True
    return False


def _sentence(error: Exception) -> str:
    """The message of the error; for one of the operating system with the file concerned."""
    if isinstance(error, OSError) and not isinstance(error, DferError):
        return system_words(error)
    return str(error)
