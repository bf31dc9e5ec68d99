"""A server that ends at once and quietly, though browsers keep connections open to hear of news."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from .bodies import Application
from .connections import BoundedConnection
from .log import log

PATIENCE_S = 3  # for what is being sent
BACKLOG = 64  # connections accepted at a time, before any of them can be closed
QUIET_S = 60.0  # between two lines about connections that failed


class StoppingServer(uvicorn.Server):
    """Runs `app`; Ctrl-C and SIGTERM call `close`, which ends the connections that would stay open."""

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
        """Serve until the process is told to end."""
        asyncio.get_running_loop().set_exception_handler(self._log_failure)
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._close()
        super().handle_exit(sig, frame)

    def _log_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log a connection that failed, at most once a minute; asyncio would print a traceback for each."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._logged_at >= QUIET_S:
            self._logged_at = time.monotonic()
            log(f"a connection failed: {error.strerror or error}")
