"""Send chat completion requests concurrently, within a budget."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import openai

from .answers import Answer, Failure
from .demo_server import reachable
from .endpoint import TIMEOUT_S, Endpoint, served_models, unknown_model
from .negotiation import Negotiation, Reply
from .refusals import (
    ABOUT_THE_QUESTION,
    access_refused,
    body_of,
    connection_error,
    is_unreachable,
    refuses_images,
    shortened,
    status_error,
    words_of,
)
from .response_cache import Request
from .usage import Budget, Estimate

__all__ = ["RETRIES", "Asked", "Lost", "Reply", "Watcher", "ask", "record_of"]

RETRIES = 5  # by the SDK: on 408, 409, 429, 5xx and lost connections, with Retry-After or exponential backoff
HOPELESS = 10  # failed requests without a success, each after all retries, before the rest is abandoned

_UNDER_WAY: ContextVar[Request | None] = ContextVar("_UNDER_WAY", default=None)


@dataclass(frozen=True)
class Lost:
    """A request without a response, and why; `final` if further requests would fail in the same way."""

    request: Request
    reason: str
    final: bool = False
    may_be_model: bool = False  # the server may not know the model


@dataclass(frozen=True)
class Asked:
    """The result of `ask`: the requests without a response, and why the rest was not sent."""

    lost: list[Lost]
    stopped: str | None = None  # by the budget


class Watcher:
    """Callbacks during the requests; a subclass overrides those it needs."""

    async def arrived(self, request: Request, reply: Reply) -> None:
        """A response has arrived. An exception raised here ends `ask`."""

    def retried(self, request: Request) -> None:
        """A request is sent again after a failure."""

    def lost(self, lost: Lost) -> None:
        """A request got no response."""

    def note(self, sentence: str) -> None:
        """A message about the server for the user, sent once."""


def record_of(request: Request, template: str, reply: Reply, read: Answer | Failure) -> dict[str, Any]:
    """The record of a response for `ResponseStore.put`."""
    record = {
        "class_name": request.class_name,
        "template": template,
        "form": reply.form,
        "reading": read.reading if isinstance(read, Answer) else None,
        "request": request.identity,
        "received": datetime.now(UTC).isoformat(timespec="seconds"),
        "response": reply.body,
    }
    return {**record, "not_sent": list(reply.not_sent)} if reply.not_sent else record


async def ask(
    endpoint: Endpoint,
    requests: Sequence[Request],
    watcher: Watcher,
    *,
    concurrency: int = 8,
    retries: int = RETRIES,
    timeout: float = TIMEOUT_S,
    budget: Budget | None = None,
    estimate: Estimate | None = None,
) -> Asked:
    """Send each request once, at most `concurrency` at a time, and pass each response to the watcher.

    A request that fails after the SDK's retries does not stop the others, unless they would fail in the same
    way (no connection, unknown model, rejected key), or unless `HOPELESS` requests or two rounds have failed
    without a success: then no further request is started, and those in progress are completed. `timeout`
    (seconds) limits one attempt as a whole. `estimate` gives the tokens that a request may take of the
    `budget`.

    Raises InputError with the known models if the server does not know the model, and whatever the watcher
    raises.
    """
    if not requests:
        return Asked([])

    def retried() -> None:
        if (request := _UNDER_WAY.get()) is not None:
            watcher.retried(request)

    # A redirect could send images to a host for which nobody permitted it.
    redirects = not any(each.images for each in requests)
    with reachable(endpoint) as reached:
        async with reached.client(
            retries, timeout=timeout, redirects=redirects, retried=retried, note=watcher.note
        ) as client:
            negotiation = Negotiation(client, endpoint, retries, watcher.note)
            queue = _RequestQueue(
                endpoint, requests, watcher, negotiation, budget or Budget(), estimate or Estimate()
            )
            queue.hopeless = max(HOPELESS, 2 * concurrency)
            await queue.run(client, min(concurrency, len(requests)))
            if any(each.may_be_model for each in queue.lost):
                await _check_model(client, endpoint)
    return Asked(queue.lost, queue.stopped)


@dataclass
class _RequestQueue:
    """The state of one call of `ask`."""

    endpoint: Endpoint
    requests: Sequence[Request]
    watcher: Watcher
    negotiation: Negotiation
    budget: Budget
    estimate: Estimate
    hopeless: int = HOPELESS
    stopped: str | None = None

    def __post_init__(self) -> None:
        self.waiting = deque(self.requests)
        self.lost: list[Lost] = []
        self.answered = False
        self.changed = asyncio.Condition()

    async def run(self, client: openai.AsyncOpenAI, workers: int) -> None:
        """Run all workers to their end; the first exception stops all and is raised unchanged."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._work()) for _ in range(workers)]
                reaching = group.create_task(self._reach(client, tasks))
                await asyncio.wait(tasks)
                reaching.cancel()
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def _work(self) -> None:
        while (request := await self._next()) is not None:
            _UNDER_WAY.set(request)
            reserved, spent = self.estimate.most(request), 0
            try:
                outcome = await self.negotiation.ask(request)
                if isinstance(outcome, Reply):
                    self.answered = True
                    spent = self.estimate.spent(request, outcome.body)
                    await self.watcher.arrived(request, outcome)
                else:
                    self._lose(_why_lost(self.endpoint, request, outcome))
            finally:
                self.budget.settle(reserved, spent)
                async with self.changed:
                    self.changed.notify_all()

    async def _next(self) -> Request | None:
        """The next request, once the budget has room for it; None if there are no more."""
        async with self.changed:
            while self.waiting:
                tokens = self.estimate.most(self.waiting[0])
                if self.budget.fits(tokens):
                    self.budget.reserve(tokens)
                    return self.waiting.popleft()
                if not self.budget.reserved:  # no request in progress that could free tokens
                    self.stopped = self.budget.reason(tokens)
                    return None
                await self.changed.wait()
        return None

    def _lose(self, lost: Lost) -> None:
        self.lost.append(lost)
        self.watcher.lost(lost)
        if lost.final or (not self.answered and len(self.lost) >= self.hopeless):
            self.waiting.clear()

    async def _reach(self, client: openai.AsyncOpenAI, workers: Sequence[asyncio.Task[None]]) -> None:
        """Detect an unreachable server within a second instead of after all retries."""
        try:
            await served_models(client)
        except openai.APIConnectionError as error:
            if is_unreachable(error) and not self.answered and not self.lost:
                self._lose(_why_lost(self.endpoint, self.requests[0], error))
                for worker in workers:
                    worker.cancel()
        except openai.OpenAIError:
            pass  # the server is reachable; it need not list its models


def _why_lost(endpoint: Endpoint, request: Request, error: openai.APIError) -> Lost:
    if isinstance(error, openai.APIConnectionError):
        return Lost(request, connection_error(endpoint, error), final=is_unreachable(error))
    if not isinstance(error, openai.APIStatusError):
        return Lost(request, shortened(endpoint.redact(error.message)))
    status = error.status_code
    if status in (401, 403):
        for_all = not ABOUT_THE_QUESTION.search(words_of(body_of(endpoint, error)))
        return Lost(request, access_refused(endpoint, error), final=for_all)
    reason = status_error(endpoint, error)
    no_images = bool(request.images) and refuses_images(status, body_of(endpoint, error))
    if no_images or (status == 429 and error.code == "insufficient_quota"):
        says = f"{endpoint.model} does not accept these images: " if no_images else ""
        return Lost(request, f"{says}{reason}", final=True)
    if status in (404, 405):
        return Lost(request, reason, final=True, may_be_model=True)
    return Lost(request, reason, may_be_model=status in (400, 422))


async def _check_model(client: openai.AsyncOpenAI, endpoint: Endpoint) -> None:
    try:
        models = await served_models(client)
    except openai.OpenAIError:
        return
    if models and endpoint.model not in models:
        raise unknown_model(endpoint, models)
