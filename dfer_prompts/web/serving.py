"""The server: one process on one address, the page behind the guard, until it is stopped."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, Interrupted
from ..workspace import Workspace
from .guard import LOOPBACK

NEXT_PORTS = 20  # of those after one that is taken
# Gradio reads them when it is imported: nothing is counted, looked up or fetched for this page.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Address:
    """Where the page is served: `host` is an address or a name of this computer."""

    host: str
    port: int

    @property
    def is_here_alone(self) -> bool:
        """Whether no other computer can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """What to type into a browser."""
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

    `accounts` are names and passwords, None lets in everyone who reaches the address; `most_mb` bounds an
    upload in MiB; `ready` is called once the page can be opened. Raises InputError where the port is taken.
    """
    with _listening(address) as listener, _set_apart() as files:
        from .application import application
        from .stopping import StoppingServer

        hosts = LOOPBACK | {address.host} if address.is_here_alone else None
        app, close = application(workspace, files, accounts, most_mb, hosts=hosts)
        server = StoppingServer(app, close)
        ready(address)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            raise Interrupted("Stopped: what was uploaded is deleted, and what was saved is kept") from None


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A socket that browsers can already reach. Raises InputError where that cannot be."""
    try:
        listener = _bound(address)
    except socket.gaierror as error:
        raise InputError(
            f"--host {address.host}: no such address ({error.strerror})\nGive one of this computer"
        ) from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InputError(
                f"--host {address.host} --port {address.port}: {error.strerror}\nGive another"
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
        if os.name != "nt":  # where it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def _next_free(address: Address) -> str:
    """What to do instead: the next port that is free."""
    for port in range(address.port + 1, min(address.port + NEXT_PORTS, 2**16 - 1) + 1):
        try:
            _bound(replace(address, port=port)).close()
        except OSError:
            continue
        return f"\nThe next free one: dfer-prompts serve --port {port}"
    return "\nGive another: --port"


@contextmanager
def _set_apart() -> Iterator[Path]:
    """A folder of this server's own for uploads and downloads, gone with it, and Gradio told to be quiet."""
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        files = Path(folder).resolve()
        for name in [each for each in os.environ if each.startswith("GRADIO_")]:
            del os.environ[name]  # several of them would open what is closed here
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(files))
        yield files
