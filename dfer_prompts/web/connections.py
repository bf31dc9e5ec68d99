"""HTTP connections and request bodies within limits, and the server's log on standard error.

Limited are the number of connections and the times of a request's headers and body. JSON is parsed once
before Gradio gets it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any

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


def log(line: str) -> None:
    """Write a line with the time."""
    sys.stderr.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {line}\n")
    sys.stderr.flush()


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PATIENCE_S = 30.0  # maximum wait for the next chunk of a body


class Refusal(Exception):
    """A rejected request: HTTP status, message, and when to retry if that helps."""

    def __init__(self, status: int, says: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(says)
        self.status, self.retry_after_s = status, retry_after_s


class Body:
    """`receive` of a request; a client that sends nothing for `PATIENCE_S` counts as disconnected.

    `broke_off`: whether the client disconnected before the request was complete.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._is_whole = receive, False
        self.broke_off = False

    async def receive(self) -> Message:
        """The next chunk of the body; after the last one, wait for the client to disconnect."""
        if self._is_whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), PATIENCE_S)
        except TimeoutError:
            message = {"type": "http.disconnect"}
        self._is_whole = not message.get("more_body", False)
        self.broke_off = message["type"] == "http.disconnect"
        return message

    async def read(self) -> bytes:
        """The complete body. Raises Refusal if the client disconnects before the end or is too slow."""
        parts = []
        while not self._is_whole:
            parts.append((await self.receive()).get("body", b""))
        if self.broke_off:
            raise Refusal(408, "the request is incomplete")
        return b"".join(parts)

    def again(self, content: bytes) -> Receive:
        """A `receive` that returns this body and then waits for the client to disconnect."""
        messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else await self.receive()

        return receive


async def read_form(body: Body) -> Receive:
    """The complete body of a form."""
    return body.again(await body.read())


async def read_json(scope: Scope, body: Body) -> Receive:
    """The body parsed as JSON in UTF-8 and serialised again, so that Gradio reads exactly what was checked.

    Raises Refusal for anything else (including UTF-16 and a byte order mark), and if it contains a URL that
    Gradio would fetch.
    """
    try:
        value = json.loads((await body.read()).decode("utf-8"))
        written = json.dumps(value).encode()
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON in UTF-8") from None
    if _names_an_address(value):
        raise Refusal(403, "this server does not fetch files from other servers")
    headers = [each for each in scope["headers"] if each[0] not in (b"content-length", b"content-type")]
    own = [(b"content-length", str(len(written)).encode()), (b"content-type", b"application/json")]
    scope["headers"] = [*headers, *own]
    return body.again(written)


def _names_an_address(value: Any) -> bool:
    """Whether the value refers to a file on another server."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            path = each.get("path")
            if isinstance(path, str) and re.match(r"\s*[a-z][a-z0-9+.-]+:", path, re.IGNORECASE):
                return True
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False
