"""The SDK's HTTP client with bounds: no answer is read for longer than asked, or past any sensible size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai

MOST_BYTES = 32 * 2**20  # a list of visual features is a few kilobytes; several may come at once


class AnswerTooLarge(openai.OpenAIError):
    """A body of more than `MOST_BYTES`; asked again it would be as large, so the SDK does not retry it."""


# What the SDK sets itself; other headers come from the environment (OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS).
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
    """The key for a server that gets it only after it has asked for one, and nothing else of the environment.

    `asked` is called when the server asks, once.
    """

    def __init__(self, api_key: str | None, asked: Callable[[], None]) -> None:
        self._api_key, self._asked = api_key, asked
        self._sending = False

    def prepare(self, request: Any) -> None:
        """Leave of the request's headers what the SDK sets itself, and the key where it was asked for."""
        for name in list(request.headers):
            if name not in _OWN_HEADERS and not name.startswith("x-stainless-"):
                del request.headers[name]
        key = self._api_key if self._sending else None
        request.headers["authorization"] = f"Bearer {key or 'no-key'}"

    def repeats(self, request: Any, response: Any) -> bool:
        """Whether the server asks for the key that the request did not hold; it is put into the request."""
        held = request.headers.get("authorization") == f"Bearer {self._api_key}"
        if self._api_key is None or held or response.status_code != 401 or response.history:
            return False
        if not self._sending:
            self._sending = True
            self._asked()
        self.prepare(request)
        return True


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Reads each body whole, within the request's timeout from beginning to end, and counts retries.

    The timeouts of HTTP libraries are between two bytes: a server that sends one a second holds a request for
    ever. `retried` is called before each attempt that is not a request's first; `guard` decides whether the
    server gets the key.
    """

    def __init__(
        self, retried: Callable[[], None], guard: KeyOnRequest | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._retried = retried
        self._guard = guard

    async def send(self, request: Any, **options: Any) -> Any:
        """The response with its whole body.

        Raises openai.APITimeoutError when it was not there in time, and AnswerTooLarge.
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
        # The body is decoded, so what said how it was encoded no longer holds.
        encoding = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in encoding]
        return type(response)(response.status_code, headers=headers, content=body, request=request)

    async def _read(self, request: Any, options: dict[str, Any]) -> tuple[Any, bytes]:
        """The response and its whole body."""
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
