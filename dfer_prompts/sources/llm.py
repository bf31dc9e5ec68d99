"""The language model as a source: chat completions, asked a few at a time, and what counts as an answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import openai

from ..errors import InputError
from ..parsing import parse_answer
from ..responses import Request
from .endpoint import (
    TIMEOUT_S,
    Endpoint,
    choice_of,
    connection_error,
    refused_key,
    resolve_endpoint,
    served_models,
    server_words,
    shortened,
)

__all__ = ["Answer", "Endpoint", "Failure", "Lost", "ask", "read_answer", "resolve_endpoint"]

Reason = Literal["truncated", "refused", "empty", "malformed"]
FILTERED = ("content_filter", "content_policy_violation")  # error codes of servers that filter the question

RETRIES = 5  # the SDK's: on 408, 409, 429 and 5xx and lost connections, with Retry-After or growing waits
HOPELESS = 10  # failures without a success: each has cost all its retries, and the rest would too
KEPT_OF_GARBAGE = 4000  # characters of a body that is no JSON

# A text without descriptors that apologises or declines was a refusal in prose, not a poor list.
DECLINES = re.compile(
    r"\b(sorry|i apologi[sz]e|can[’']?t|can ?not|won[’']?t|unable|decline)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What a response said."""

    descriptors: list[str]


@dataclass(frozen=True)
class Failure:
    """Why a response is no answer."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Lost:
    """A request that got no response, and why; `final` when asking for more would end the same way."""

    request: Request
    reason: str
    final: bool = False
    may_be_model: bool = False  # the server may not know the model


def read_answer(response: Any) -> Answer | Failure:
    """Judge one stored response, the body of a chat completion as the server sent it.

    `usage`, `system_fingerprint` and all else that is optional may be missing.
    """
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        error = response["error"]
        reason: Reason = "refused" if error.get("code") in FILTERED else "malformed"
        return Failure(reason, shortened(str(error.get("message") or "an error object")))
    try:
        choice = response["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content") or "", message.get("refusal")
        finish = choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        return Failure("malformed", _what_it_is(response))
    if refusal or finish == "content_filter":
        return Failure("refused", shortened(str(refusal or "finish_reason: content_filter")))
    if finish == "length":
        return Failure("truncated", "finish_reason: length; raise --max-tokens")
    return _read_text(text) if isinstance(text, str) else Failure("malformed", "its content is no text")


def _read_text(text: str) -> Answer | Failure:
    descriptors = parse_answer(text)
    if descriptors:
        return Answer(descriptors)
    if DECLINES.search(text):
        return Failure("refused", shortened(text))
    return Failure("empty", "no descriptor in it" if text.strip() else "no text in it")


async def ask(
    endpoint: Endpoint,
    requests: Sequence[Request],
    arrived: Callable[[Request, Any], None],
    *,
    concurrency: int = 8,
    retries: int = RETRIES,
    timeout: float = TIMEOUT_S,
) -> list[Lost]:
    """Ask each request once, at most `concurrency` at a time, and hand each response over as it arrives.

    A request that fails after the SDK's retries does not stop the others, unless they would fail like it (no
    connection, no such model, a refused key), or unless `HOPELESS` or two rounds have failed and none came
    through: then nothing more is begun, and what is under way is finished.
    Returns the requests without a response. Raises InputError when the server does not know the model, with
    the ones it knows; whatever `arrived` raises ends the work.
    """
    waiting = deque(requests)
    lost: list[Lost] = []
    hopeless = max(HOPELESS, 2 * concurrency)
    async with endpoint.client(retries) as client:

        async def worker() -> None:
            nonlocal hopeless
            while waiting:
                request = waiting.popleft()
                outcome = await _one(client, endpoint, request, timeout)
                if not isinstance(outcome, Lost):
                    arrived(request, outcome)
                    hopeless = len(requests) + 1
                    continue
                lost.append(outcome)
                if outcome.final or len(lost) >= hopeless:
                    waiting.clear()

        if requests:
            await _reach(client, endpoint, requests[0], lost)
        if not lost:
            await _together([worker() for _ in range(min(concurrency, len(requests)))])
        if any(each.may_be_model for each in lost):
            await _check_model(client, endpoint)
    return lost


async def _together(workers: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run the workers to their end; the first exception of one stops all and is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in workers:
                group.create_task(each)
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None


async def _reach(client: openai.AsyncOpenAI, endpoint: Endpoint, first: Request, lost: list[Lost]) -> None:
    """Find out in a second, not after all retries, that nobody is there."""
    try:
        await served_models(client)
    except openai.APITimeoutError:
        pass
    except openai.APIConnectionError as error:
        lost.append(Lost(first, connection_error(endpoint, error), final=True))
    except openai.APIError:
        pass  # somebody is there; whether they list their models does not matter


async def _one(
    client: openai.AsyncOpenAI, endpoint: Endpoint, request: Request, timeout: float
) -> Any | Lost:
    sampling = request.identity["sampling"]
    sent: dict[str, Any] = {
        "model": request.model,
        "messages": list(request.messages),
        "temperature": sampling["temperature"],
        "top_p": sampling["top_p"],
        "seed": sampling["seed"],
        endpoint.token_limit_name: sampling["max_tokens"],
    }
    if sampling["reasoning_effort"] is not None:
        sent["reasoning_effort"] = sampling["reasoning_effort"]
    try:
        raw = await client.chat.completions.with_raw_response.create(**sent, timeout=timeout)
    except openai.APIError as error:
        if error.code in FILTERED:
            return {"error": {"code": error.code, "message": endpoint.redact(error.message)}}
        return _why_lost(endpoint, request, error)
    return _body(endpoint, raw.http_response.text)


def _body(endpoint: Endpoint, text: str) -> Any:
    """The body as the server sent it, parsed where it is JSON, without the key should it be in there."""
    redacted = endpoint.redact(text)
    try:
        # Half of an escaped pair ("\ud83d") is JSON but no text that a file could hold.
        whole = json.dumps(json.loads(redacted), ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole)
    except (ValueError, RecursionError):
        return redacted[:KEPT_OF_GARBAGE]


def _why_lost(endpoint: Endpoint, request: Request, error: openai.APIError) -> Lost:
    if isinstance(error, openai.APIConnectionError):
        return Lost(request, connection_error(endpoint, error), final=True)
    if not isinstance(error, openai.APIStatusError):
        return Lost(request, shortened(endpoint.redact(error.message)))
    status = error.status_code
    if status in (401, 403):
        return Lost(request, refused_key(endpoint), final=True)
    words = server_words(endpoint, error)
    reason = f"{endpoint.base_url} answers {status}" + (f": {words}" if words else "")
    if status == 429 and error.code == "insufficient_quota":
        return Lost(request, reason, final=True)
    if status in (404, 405):
        return Lost(request, reason, final=True, may_be_model=True)
    return Lost(request, reason, may_be_model=status in (400, 422))


async def _check_model(client: openai.AsyncOpenAI, endpoint: Endpoint) -> None:
    try:
        models = await served_models(client)
    except openai.APIError:
        return
    if models and endpoint.model not in models:
        raise InputError(
            f"{endpoint.base_url} does not know the model {endpoint.model!r}\n"
            f"It has: {choice_of(models, endpoint.model)}"
        )


def _what_it_is(response: Any) -> str:
    if not isinstance(response, str):
        return "JSON, but no chat completion: it has no choices"
    if response.lstrip().startswith("<"):
        return "an HTML page; does --base-url end in /v1?"
    return "not JSON" if response.strip() else "nothing at all"
