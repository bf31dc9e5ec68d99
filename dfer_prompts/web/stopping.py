"""A server that ends at once and quietly, though browsers keep connections open to hear of news."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

import uvicorn

from .guard import Application

PATIENCE_S = 3  # for what is being sent


class StoppingServer(uvicorn.Server):
    """Runs `app`; Ctrl-C and SIGTERM call `close`, which ends the connections that would stay open."""

    def __init__(self, app: Application, close: Callable[[], None]) -> None:
        super().__init__(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=PATIENCE_S))
        self._close = close

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._close()
        super().handle_exit(sig, frame)
