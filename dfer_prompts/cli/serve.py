"""`dfer-prompts serve`: the web page."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .output import message

if TYPE_CHECKING:
    from ..web.server import Address

ACCOUNTS = "DFER_PROMPTS_AUTH"


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any other is open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    auth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of accounts, one `NAME:PASSWORD` per line; others have no access.",
            show_default=f"the account in {ACCOUNTS}, else no login",
        ),
    ] = None,
    max_upload: Annotated[
        int, typer.Option(metavar="MB", min=1, help="Maximum size of a video in MiB.")
    ] = 200,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve descriptions, predictions, optimisations and comparisons as a web page on this computer.

    The page shows files of this workspace only. Nothing leaves the computer but the prompts of the Generate
    tab, for the language model that is configured. Ctrl-C stops it.

    Example: dfer-prompts serve --port 7861 --open
    """
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            "the page needs Gradio, which is not installed\nInstall it: pip install 'dfer-prompts[web]'"
        )
    from ..web.server import Address
    from ..web.server import serve as serve_page

    accounts = _accounts(auth)
    address = Address(host, port)
    if not address.is_loopback:
        _warn(address, guarded=bool(accounts))

    def ready(at: Address) -> None:
        message(f"The page is at {at.url}  (Ctrl-C stops it)")
        if open_browser:
            typer.launch(at.url)

    serve_page(context.obj, address, accounts=accounts, most_mb=max_upload, ready=ready)


def _warn(address: Address, *, guarded: bool) -> None:
    message(f"Warning: {address.host} is open to other computers, and the connection is not encrypted")
    if not guarded:
        message(
            "Warning: NO PASSWORD is required. Anyone who reaches this port can read the descriptions and "
            "reports of the workspace,\nsave new versions, query the demo language model and process videos. "
            "Require one: --auth FILE"
        )
    port = address.port
    message(f"Safer: stay on 127.0.0.1, and from the other computer: ssh -L {port}:127.0.0.1:{port} COMPUTER")


def _read(accounts: Path) -> str:
    try:
        return accounts.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--auth {accounts} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--auth {accounts} is not text in UTF-8\nSave it as UTF-8") from error


def _warn_of_readers(accounts: Path) -> None:
    if os.name != "nt" and accounts.stat().st_mode & 0o077:
        message(
            f"Warning: other users of this computer can read or change {accounts}, which holds passwords\n"
            f"Restrict it: chmod 600 {accounts}"
        )


def _accounts(given: Path | None) -> dict[str, str] | None:
    """Names and passwords from a file or the environment; not from the command line, which others can see."""
    if given is None:
        text, where = os.environ.get(ACCOUNTS, ""), ACCOUNTS
        if not text:
            return None
    elif given.is_file():
        text, where = _read(given), f"--auth {given}"
    else:
        raise InputError(
            "--auth must be an existing file\n"
            f"Write NAME:PASSWORD into one, or into {ACCOUNTS}; a password in a command can be read by others"
        )
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, colon, password = line.partition(":")
        if line.strip() and not (name.strip() and colon and password):
            raise InputError(f"{where}, line {number} is not NAME:PASSWORD")
        if line.strip():
            found[name.strip()] = password
    if not found:
        raise InputError(f"{where} holds no account\nAdd a line NAME:PASSWORD")
    if given is not None:
        _warn_of_readers(given)
    return found


def register(app: typer.Typer) -> None:
    """Add `serve` to the root command."""
    app.command(short_help="Serve a web page for the browser.")(serve)
