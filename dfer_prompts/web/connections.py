"""HTTP connections with a limit on their number and on the time of a request's headers."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0  # time limit for the headers of a request
MOST = 128  # connections; the system's limit on open files is 256 or more


class BoundedConnection(H11Protocol):
    """An HTTP connection that is closed if the headers of a request take longer than `HEADERS_S`.

    At most `MOST` connections are open: a further one replaces the one that has waited longest for the
    headers of a request. If none is waiting because all are being answered, the new one is closed.
    """

    _deadline: asyncio.TimerHandle | None = None

    @property
    def waiting_s(self) -> float:
        """Seconds since the connection waits for request headers; -1 while a request is being answered."""
        if self._deadline is None:
            return -1.0
        return self.loop.time() - (self._deadline.when() - HEADERS_S)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection and wait for its first request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADERS_S, transport.abort)
        if len(self.connections) > MOST:
            bounded = [each for each in self.connections if isinstance(each, BoundedConnection)]
            max(bounded, key=lambda each: each.waiting_s).close_now()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handle received data; the deadline applies while the headers of a request are incomplete."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.abort)

    def close_now(self) -> None:
        """Close at once, without sending pending data."""
        self.connections.discard(self)
        self._forget_deadline()
        self.transport.abort()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
