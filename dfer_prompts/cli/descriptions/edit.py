"""`descriptions edit`: open a set in the user's editor and save the result as a new version."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import DferError, InputError, WorkError
from ..completion import versions
from ..output import JsonOption, message, print_json, print_pieces
from .diff import lines

if TYPE_CHECKING:
    from ...description_set import DescriptionSet


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command(short_help="Edit a set in your editor as a new version.")(edit)


def edit(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            autocompletion=versions, metavar="V", help="The version, or the view of one, to edit."
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Read this edited file (- is standard input) instead of opening an editor.",
        ),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option("--message", "-m", metavar="TEXT", help="Reason for the change, for the log."),
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new version's name.", show_default="the next")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Edit a description set: opens $VISUAL or $EDITOR and writes what you save as a new version.

    The edited set is unchanged and becomes the new one's parent. Descriptors that remain keep their support;
    new ones have none. Text that is not a valid set is kept in a file.

    Example: dfer-prompts descriptions edit v2 --message "no blushing in a grey video"
    """
    from ...versions.diff import diff
    from ...versions.store import DescriptionStore

    store = DescriptionStore(context.obj)
    parent = store.load(ref)
    if version is not None:
        store.check_name(version)

    def save(draft: DescriptionSet) -> DescriptionSet | None:
        return None if draft.sha256 == parent.sha256 else store.save(draft, version)

    if file is not None:
        saved = save(_from_file(parent, file, why))
    else:
        with _text_in_a_file(parent, context.obj.edits) as path:
            saved = save(_from_editor(parent, path, why))
    if as_json:
        written = (
            {"version": saved.name, "folder": str(store.path(saved.name))} if saved else {"version": None}
        )
        print_json({**written, "parent": ref, "difference": diff(parent, saved).as_dict() if saved else None})
    elif saved is None:
        message(f"{ref} is unchanged; no version is written")
    else:
        print_pieces(lines(diff(parent, saved)))
        message(f"Written to {store.path(saved.name)}\nNext: dfer-prompts descriptions show {saved.name}")


def _from_file(parent: DescriptionSet, file: str, why: str | None) -> DescriptionSet:
    from ...versions.edit import edited

    if file == "-":
        return edited(parent, _decoded(sys.stdin.buffer.read(), "standard input"), "standard input", why)
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"there is no file {file}")
    return edited(parent, _decoded(path.read_bytes(), file), file, why)


def _from_editor(parent: DescriptionSet, path: Path, why: str | None) -> DescriptionSet:
    """The set as edited at `path`; on a terminal the user can correct an error in the editor."""
    from ...versions.edit import edited

    while True:
        _open_editor(path)
        try:
            return edited(parent, _decoded(path.read_bytes(), path.name), path.name, why)
        except InputError as error:
            if not sys.stdin.isatty():
                raise
            message(f"Error: {error}")
            try:
                again = typer.confirm("Open the editor again?", default=True, err=True)
            except typer.Abort:
                again = False
            if not again:
                raise


@contextmanager
def _text_in_a_file(parent: DescriptionSet, folder: Path) -> Iterator[Path]:
    """A file with the set's text for the editor; changes to it are kept after any failure."""
    from ...versions.edit import as_text

    text = as_text(parent)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w",
        dir=folder,
        prefix=f"{parent.name}-",
        suffix=".yaml",
        encoding="utf-8",
        newline="\n",
        delete=False,
    ) as stream:
        stream.write(text)
    path = Path(stream.name)
    try:
        yield path
    except BaseException as error:
        if not path.is_file() or path.read_bytes() == text.encode("utf-8"):
            path.unlink(missing_ok=True)
            raise
        again = shlex.join(["dfer-prompts", "descriptions", "edit", parent.name, "--file", str(path)])
        advice = f"Your text is kept; correct it and continue: {again}"
        if isinstance(error, DferError):
            raise type(error)(f"{error}\n{advice}") from error
        message(advice)
        raise
    path.unlink(missing_ok=True)


def _open_editor(path: Path) -> None:
    """Wait until the user closes the editor. While it is open, Ctrl-C goes to the editor."""
    import click

    if not (sys.stdin.isatty() or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise InputError("there is no terminal to open an editor in\nSet EDITOR=..., or give --file")
    had = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:
        says = error.message if isinstance(error, click.ClickException) else f"no command: {error}"
        raise WorkError(
            f"{says}\nSet VISUAL or EDITOR to your editor: EDITOR=nano, or 'code --wait'"
        ) from error
    finally:
        signal.signal(signal.SIGINT, had)


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {error.start})") from error
