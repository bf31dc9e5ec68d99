"""Requests to the fake endpoint, and their results."""

from __future__ import annotations

import asyncio
from typing import Any

from dfer_prompts.llm.client import Lost, Watcher, ask
from dfer_prompts.llm.endpoint import Endpoint
from dfer_prompts.llm.negotiation import Reply as Arrived
from dfer_prompts.llm.response_cache import Request
from dfer_prompts.llm.sampling import ResponseFormat, Sampling

from .endpoint import FakeEndpoint


def requests_to(
    server: FakeEndpoint, count: int = 3, response_format: ResponseFormat = "text", **sampling: Any
) -> list[Request]:
    """Requests for features of fear, one per sample."""
    return [
        Request(
            "fear",
            server.base_url,
            "tiny",
            ({"role": "user", "content": f"features of fear {i}?"},),
            Sampling(**sampling),
            i,
            response_format,
        )
        for i in range(count)
    ]


class Collected(Watcher):
    """Collects responses by key, response formats, retries and notes."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}
        self.forms: list[str] = []
        self.retries: list[int] = []
        self.notes: list[str] = []

    async def arrived(self, request: Request, reply: Arrived) -> None:
        self.responses[request.key] = reply.body
        self.forms.append(reply.form)

    def retried(self, request: Request) -> None:
        self.retries.append(request.sample)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def request_all_observed(
    server: FakeEndpoint, requests: list[Request], **options: Any
) -> tuple[Collected, list[Lost]]:
    watcher = Collected()
    endpoint = Endpoint(server.base_url, "tiny", options.pop("api_key", None))
    return watcher, asyncio.run(ask(endpoint, requests, watcher, **options)).lost


def request_all(
    server: FakeEndpoint, requests: list[Request], **options: Any
) -> tuple[dict[str, Any], list[Lost]]:
    """Send the requests; returns responses by key, and the failed requests."""
    watcher, lost = request_all_observed(server, requests, **options)
    return watcher.responses, lost
