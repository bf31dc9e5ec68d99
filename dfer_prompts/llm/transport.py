"""The SDK's HTTP client with limits on the total time and size of a response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai

MOST_BYTES = 32 * 2**20  # a list of visual features has a few kilobytes


class AnswerTooLarge(openai.OpenAIError):
    """A body of more than `MOST_BYTES`; a retry would not help, so the SDK does not retry it."""


# Headers set by the SDK itself; others come from the environment (OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS).
_OWN_HEADERS = (
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
)


class KeyOnRequest:
    """Sends the key only after the server has requested one, and nothing else of the environment.

    `asked` is called once, at the server's first request.
    """

    def __init__(self, api_key: str | None, asked: Callable[[], None]) -> None:
        self._api_key, self._asked = api_key, asked
        self._sending = False

    def prepare(self, request: Any) -> None:
        """Remove all headers not set by the SDK itself; add the key if it was requested."""
        for name in list(request.headers):
            if name not in _OWN_HEADERS and not name.startswith("x-stainless-"):
                del request.headers[name]
        key = self._api_key if self._sending else None
        request.headers["authorization"] = f"Bearer {key or 'no-key'}"

    def repeats(self, request: Any, response: Any) -> bool:
        """Whether the server requests the key and the request had none; the key is then added to it."""
        held = request.headers.get("authorization") == f"Bearer {self._api_key}"
        if self._api_key is None or held or response.status_code != 401 or response.history:
            return False
        if not self._sending:
            self._sending = True
            self._asked()
        self.prepare(request)
        return True


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Reads each body completely, within the request's timeout as a whole, and counts retries.

    The timeouts of HTTP libraries apply between two bytes: a server that sends one byte per second would
    block a request forever. `retried` is called before each attempt but the first; `guard` decides whether
    the server receives the key.
    """

    def __init__(
        self, retried: Callable[[], None], guard: KeyOnRequest | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._retried = retried
        self._guard = guard

    async def send(self, request: Any, **options: Any) -> Any:
        """The response with its complete body.

        Raises openai.APITimeoutError if it did not arrive in time, and AnswerTooLarge.
        """
        if request.headers.get("x-stainless-retry-count", "0") != "0":
            self._retried()
        if self._guard:
            self._guard.prepare(request)
        limit = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(limit):
                response, body = await self._read(request, options)
                if self._guard and self._guard.repeats(request, response):
                    response, body = await self._read(request, options)
        except TimeoutError:
            raise openai.APITimeoutError(request=request) from None
        # The body is already decoded, so headers on its encoding are removed.
        encoding = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in encoding]
        return type(response)(response.status_code, headers=headers, content=body, request=request)

    async def _read(self, request: Any, options: dict[str, Any]) -> tuple[Any, bytes]:
        """The response and its complete body."""
        response = await super().send(request, **{**options, "stream": True})
        try:
            return response, await _whole(response)
        finally:
            await response.aclose()


async def _whole(response: Any) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise AnswerTooLarge(f"more than {MOST_BYTES // 2**20} MiB")
    return bytes(body)
