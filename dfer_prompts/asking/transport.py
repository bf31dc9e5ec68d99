"""The SDK's HTTP client with bounds: no answer is read for longer than asked, or past any sensible size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai

MOST_BYTES = 32 * 2**20  # a list of visual features is a few kilobytes; several may come at once


class AnswerTooLarge(openai.OpenAIError):
    """A body of more than `MOST_BYTES`; asked again it would be as large, so the SDK does not retry it."""


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Reads each body whole, within the request's timeout from beginning to end, and counts retries.

    The timeouts of HTTP libraries are between two bytes: a server that sends one a second holds a request for
    ever. `retried` is called before each attempt that is not a request's first.
    """

    def __init__(self, retried: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._retried = retried

    async def send(self, request: Any, **options: Any) -> Any:
        """The response with its whole body.

        Raises openai.APITimeoutError when it was not there in time, and AnswerTooLarge.
        """
        if request.headers.get("x-stainless-retry-count", "0") != "0":
            self._retried()
        limit = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(limit):
                response = await super().send(request, **{**options, "stream": True})
                try:
                    body = await _whole(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise openai.APITimeoutError(request=request) from None
        # The body is decoded, so what said how it was encoded no longer holds.
        encoding = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in encoding]
        return type(response)(response.status_code, headers=headers, content=body, request=request)


async def _whole(response: Any) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise AnswerTooLarge(f"more than {MOST_BYTES // 2**20} MiB")
    return bytes(body)
