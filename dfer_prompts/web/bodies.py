"""The body of a request: bounded in the time that it may take, and its JSON read once for all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PATIENCE_S = 30.0  # for the next piece of a body


class Refusal(Exception):
    """A request that goes no further: its HTTP status, a sentence, and when to try again where that helps."""

    def __init__(self, status: int, says: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(says)
        self.status, self.retry_after_s = status, retry_after_s


class Body:
    """`receive` of a request, in which a client that sends nothing for `PATIENCE_S` has left.

    `broke_off` says whether the client left before the request was received whole.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._is_whole = receive, False
        self.broke_off = False

    async def receive(self) -> Message:
        """The next piece of the body; once it is whole, waits for the client to leave."""
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
        """The whole body. Raises Refusal when the client leaves before, or is too slow."""
        parts = []
        while not self._is_whole:
            parts.append((await self.receive()).get("body", b""))
        if self.broke_off:
            raise Refusal(408, "the request did not arrive")
        return b"".join(parts)

    def again(self, whole: bytes) -> Receive:
        """A `receive` that gives this body, and then waits for the client to leave."""
        messages: list[Message] = [{"type": "http.request", "body": whole, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else await self.receive()

        return receive


async def read_form(body: Body) -> Receive:
    """The body of a form, read whole."""
    return body.again(await body.read())


async def read_json(scope: Scope, body: Body) -> Receive:
    """The body read as JSON in UTF-8 and written anew, so that what was checked is what Gradio reads.

    Raises Refusal for all else (UTF-16 and a byte order mark are), and where it names an address for Gradio
    to fetch.
    """
    try:
        told = json.loads((await body.read()).decode("utf-8"))
        written = json.dumps(told).encode()
    except (ValueError, RecursionError):
        raise Refusal(400, "this is no JSON in UTF-8") from None
    if _names_an_address(told):
        raise Refusal(403, "this server fetches nothing from elsewhere")
    kept = [each for each in scope["headers"] if each[0] not in (b"content-length", b"content-type")]
    own = [(b"content-length", str(len(written)).encode()), (b"content-type", b"application/json")]
    scope["headers"] = [*kept, *own]
    return body.again(written)


def _names_an_address(told: Any) -> bool:
    """Whether there is a file in it that lies on another server."""
    waiting = [told]
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
