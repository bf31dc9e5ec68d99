"""The web server: one process on one address; Gradio's ASGI application behind the guard.

It stops at once on Ctrl-C or SIGTERM, although browsers keep event streams open.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.routing import Mount
from gradio import routes
from gradio.route_utils import upload_fn
from gradio.routes import App

from ..errors import InputError, Interrupted
from ..workspace import Workspace
from .connections import Application, BoundedConnection, log
from .guard import LOOPBACK, Guard
from .page import STYLE, build, theme

NEXT_PORTS = 20  # ports tried after one that is taken
# Gradio reads them when it is imported: no analytics, version check or downloads.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Address:
    """The address of the page: `host` is an IP address or name of this computer."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The URL for a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def serve(
    workspace: Workspace,
    address: Address,
    *,
    accounts: dict[str, str] | None = None,
    most_mb: int = 200,
    ready: Callable[[Address], None] = lambda _: None,
) -> None:
    """Serve the page of a workspace until Ctrl-C, which raises Interrupted.

    `accounts` are user names and passwords, None for no login; `most_mb` limits an upload in MiB; `ready` is
    called once the page can be opened. Raises InputError if the port is taken.
    """
    with _listening(address) as listener, _set_apart() as files:
        hosts = LOOPBACK | {address.host} if address.is_loopback else None
        app, close = application(workspace, files, accounts, most_mb, hosts=hosts)
        server = StoppingServer(app, close)
        ready(address)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            raise Interrupted("Stopped: uploads are deleted, saved versions remain") from None


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A listening socket. Raises InputError if the address is not available."""
    try:
        listener = _bound(address)
    except socket.gaierror as error:
        raise InputError(
            f"--host {address.host}: no such address ({error.strerror})\nGive an address of this computer"
        ) from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InputError(
                f"--host {address.host} --port {address.port}: {error.strerror}\nGive another address or port"
            ) from error
        raise InputError(f"port {address.port} of {address.host} is taken{_next_free(address)}") from error
    with listener:
        listener.listen(128)
        yield listener


def _bound(address: Address) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # on Windows it would allow two servers on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def _next_free(address: Address) -> str:
    """Advice with the next free port."""
    for port in range(address.port + 1, min(address.port + NEXT_PORTS, 2**16 - 1) + 1):
        try:
            _bound(replace(address, port=port)).close()
        except OSError:
            continue
        return f"\nThe next free port: dfer-prompts serve --port {port}"
    return "\nGive another port with --port"


@contextmanager
def _set_apart() -> Iterator[Path]:
    """A temporary folder for uploads and downloads, deleted at the end, and Gradio's environment."""
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        files = Path(folder).resolve()
        for name in [each for each in os.environ if each.startswith("GRADIO_")]:
            del os.environ[name]  # some of them would enable features that are disabled here
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(files))
        yield files


def application(
    workspace: Workspace,
    files: Path,
    accounts: dict[str, str] | None,
    most_mb: int,
    *,
    hosts: Collection[str] | None,
) -> tuple[Guard, Callable[[], None]]:
    """The ASGI application and a function that ends open connections; arguments as in `serve`, `Guard`."""
    page = build(workspace, files, most_mb, may_query=hosts is not None or bool(accounts))
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
    page.has_launched = True  # only then does Gradio check the location of requested files
    mounted = next(route.app for route in app.routes if isinstance(route, Mount))
    page.app = cast(App, mounted)  # used by `close`
    guard = Guard(app, hosts=hosts, files=files, most_bytes=most_mb * 2**20)
    return guard, partial(page.close, verbose=False)


async def _upload_apart(request: Any, upload_dir: str | Path, *args: Any, **kwargs: Any) -> Any:
    """Gradio's `upload_fn` with a separate folder for each upload.

    Gradio names the folder by content: two users who upload the same file would share a path, and the file is
    deleted after the first prediction.
    """
    folder = Path(upload_dir) / secrets.token_hex(16)
    try:
        return await upload_fn(request, folder, *args, **kwargs)
    except BaseException:  # an incomplete upload leaves no files
        shutil.rmtree(folder, ignore_errors=True)
        raise


PATIENCE_S = 3  # maximum wait for responses being sent
BACKLOG = 64  # pending connections
QUIET_S = 60.0  # minimum interval of log lines about failed connections


class StoppingServer(uvicorn.Server):
    """Runs `app`; Ctrl-C and SIGTERM call `close`, which ends connections that would stay open."""

    def __init__(self, app: Application, close: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedConnection,
                ws="none",
                backlog=BACKLOG,
                log_level="error",
                timeout_graceful_shutdown=PATIENCE_S,
            )
        )
        self._close = close
        self._logged_at = -QUIET_S

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the process receives a signal."""
        asyncio.get_running_loop().set_exception_handler(self._log_failure)
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the shutdown."""
        self._close()
        super().handle_exit(sig, frame)

    def _log_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log failed connections, at most once a minute; asyncio would print a traceback for each."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._logged_at >= QUIET_S:
            self._logged_at = time.monotonic()
            log(f"a connection failed: {error.strerror or error}")
