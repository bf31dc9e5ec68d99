"""Adapt requests to what a server supports, found out from its responses.

Servers differ in the response formats, the name of the token limit and the sampling parameters they support.
A rejected request is sent again in another form; if that fails too, the server's reason is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import openai

from .answers import FILTERED, TOO_LARGE, Answer, read_answer
from .endpoint import Endpoint
from .network import AnswerTooLarge
from .refusals import body_of, code_of, refused_parameters, server_words, shortened, words_of
from .response_cache import Request
from .sampling import FORMS, Form, parameters

OPTIONAL = ("temperature", "top_p", "seed")  # parameters that a request may be sent without
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
REFUSALS = (400, 415, 422, 500, 501)  # status codes for an unsupported response format
PASSING = (408, 409, 429, 502, 503, 504)
PROBE_RETRIES = 1  # a server that fails on a response format does so every time


@dataclass(frozen=True)
class Reply:
    """A response as received, without the key, and the response format of its request.

    `not_sent` are the sampling parameters omitted because the server rejects them.
    """

    body: Any
    form: Form
    not_sent: tuple[str, ...] = ()


class Negotiation:
    """The requests of one call to one server, and what the server is known to support."""

    def __init__(
        self, client: openai.AsyncOpenAI, endpoint: Endpoint, retries: int, note: Callable[[str], None]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._retries = retries
        self._note = note
        self._limit_name = endpoint.token_limit_name
        self._form: Form | None = None
        self._heeds: bool | None = (
            None  # whether it respects the response format; None before the first answer
        )
        self._first = asyncio.Lock()
        self._probed = False
        self._told = False  # whether an HTML page from a proxy was reported
        self._refused: dict[str, str] = {}  # rejected parameter -> the server's message

    async def ask(self, request: Request) -> Reply | openai.APIError:
        """The reply to a request, or the last error after all forms were tried.

        The first request for JSON is sent alone, so that concurrent requests need not repeat the negotiation.
        """
        if request.response_format == "text":
            return await self._send(request, "text", self._retries)
        if self._form is None and not self._probed:
            async with self._first:
                if not self._probed:
                    outcome = await self._negotiate(request)
                    self._probed = True
                    return outcome
        if self._form is None:
            return await self._negotiate(request)
        return self._heeded(await self._send(request, self._form, self._retries))

    async def _negotiate(self, request: Request) -> Reply | openai.APIError:
        """Try one response format after the other until one is accepted."""
        refusals: list[Reply | openai.APIError] = []
        for form in FORMS[:-1]:
            outcome = await self._send(request, form, min(PROBE_RETRIES, self._retries))
            if _passes(outcome):
                outcome = await self._send(request, form, self._retries)
            if not _refuses(outcome):
                if isinstance(outcome, Reply):
                    self._settle(form, refusals)
                return self._heeded(outcome)
            refusals.append(outcome)
        outcome = await self._send(request, FORMS[-1], self._retries)
        if isinstance(outcome, Reply) and not _refuses(outcome):
            self._settle(FORMS[-1], refusals)
            return outcome
        about_format = "response_format" in str(refusals[0]) or "json_schema" in str(refusals[0])
        return outcome if about_format or isinstance(refusals[0], Reply) else refusals[0]

    def _settle(self, form: Form, refusals: list[Reply | openai.APIError]) -> None:
        if self._form is not None:
            return
        self._form = form
        if refusals:
            instead = "text" if form == "text" else f"response_format {form}"
            why = self._words(refusals[0])
            self._note(
                f"{self._endpoint.base_url} rejects response_format json_schema ({why}); "
                f"requesting {instead} instead"
            )

    def _heeded(self, outcome: Reply | openai.APIError) -> Reply | openai.APIError:
        """Report once if a server accepts a response format but answers in prose."""
        if self._heeds is None and isinstance(outcome, Reply) and outcome.form != "text":
            read = read_answer(outcome.body, outcome.form)
            if isinstance(read, Answer):
                self._heeds = read.reading != "text"
                if not self._heeds:
                    self._note(
                        f"{self._endpoint.base_url} ignores response_format {outcome.form}; "
                        "its answers are read as text"
                    )
        return outcome

    async def _send(self, request: Request, form: Form, retries: int) -> Reply | openai.APIError:
        """The reply to a request in one response format, without the parameters that the server rejects.

        A parameter counts as rejected only if the request without it succeeds.
        """
        refused = dict(self._refused)
        while True:
            sent = self._parameters(request, form, without=refused)
            outcome = await self._post(sent, form, retries)
            if OLD_LIMIT in sent and _wants_new_limit(outcome):
                self._limit_name = NEW_LIMIT
                continue
            named = self._named(outcome, sent)
            if not named:
                break
            refused |= dict.fromkeys(named, self._words(outcome))
        if isinstance(outcome, Reply) and not _refuses(outcome):
            self._leave_out(refused)
        return outcome

    def _parameters(self, request: Request, form: Form, without: Collection[str]) -> dict[str, Any]:
        sampling = request.identity["sampling"]
        sent = {
            "model": request.model,
            "messages": request.sent_messages,
            **{name: sampling[name] for name in OPTIONAL if name not in without},
            self._limit_name: sampling["max_tokens"],
            **parameters(form),
        }
        if sampling["reasoning_effort"] is not None:
            sent["reasoning_effort"] = sampling["reasoning_effort"]
        return sent

    async def _post(self, sent: dict[str, Any], form: Form, retries: int) -> Reply | openai.APIError:
        client = self._client
        if retries != self._retries:
            client = client.with_options(max_retries=retries)
        not_sent = tuple(name for name in OPTIONAL if name not in sent)
        try:
            raw = await client.chat.completions.with_raw_response.create(**sent)
        except AnswerTooLarge as error:
            return Reply({"error": {"code": TOO_LARGE, "message": str(error)}}, form, not_sent)
        except openai.APIError as error:
            code = code_of(body_of(self._endpoint, error))
            if code in FILTERED:
                words = server_words(self._endpoint, error)
                return Reply({"error": {"code": code, "message": words}}, form, not_sent)
            return error
        body = self._endpoint.body(raw.http_response.text)
        self._tell_of_a_proxy(body)
        return Reply(body, form, not_sent)

    def _named(self, outcome: Reply | openai.APIError, sent: dict[str, Any]) -> list[str]:
        """The optional parameters that a refusal names; only one of temperature and top_p."""
        if not _refuses(outcome):
            return []
        body = outcome.body if isinstance(outcome, Reply) else body_of(self._endpoint, outcome)
        named = refused_parameters(body, sent, [name for name in OPTIONAL if name in sent])
        if {"temperature", "top_p"} <= {*named}:
            named.remove("top_p" if sent["temperature"] == 1 and sent["top_p"] != 1 else "temperature")
        return named

    def _leave_out(self, refused: dict[str, str]) -> None:
        for name, words in refused.items():
            if name not in self._refused:
                self._refused[name] = words
                self._note(
                    f"{self._endpoint.base_url} rejects {name} ({words}); requests are sent without it"
                )

    def _tell_of_a_proxy(self, body: Any) -> None:
        """Report once if an HTML page came through a proxy, which may have written it."""
        if isinstance(body, str) and body.lstrip().startswith("<") and self._endpoint.via and not self._told:
            self._told = True
            self._note(f"{self._endpoint.base_url} returned an HTML page{self._endpoint.via}")

    def _words(self, refusal: Reply | openai.APIError) -> str:
        if isinstance(refusal, openai.APIStatusError):
            words = server_words(self._endpoint, refusal)
            return f"{refusal.status_code}: {words}" if words else str(refusal.status_code)
        if isinstance(refusal, Reply):
            return shortened(words_of(refusal.body) or str(refusal.body["error"]))
        return shortened(self._endpoint.redact(refusal.message))


def _passes(outcome: Reply | openai.APIError) -> bool:
    """Whether it is a temporary error, not one caused by the request."""
    if isinstance(outcome, openai.APIStatusError):
        return outcome.status_code in PASSING
    return isinstance(outcome, openai.APIConnectionError) and not isinstance(outcome, openai.APITimeoutError)


def _refuses(outcome: Reply | openai.APIError) -> bool:
    """Whether the server may have rejected the response format."""
    if isinstance(outcome, Reply):  # some servers send an error with status 200
        body = outcome.body
        plain = isinstance(body, dict) and bool(body.get("error")) and not body.get("choices")
        return plain and not _is_verdict(body["error"])
    return isinstance(outcome, openai.APIStatusError) and outcome.status_code in REFUSALS


def _wants_new_limit(outcome: Reply | openai.APIError) -> bool:
    """Whether the server requires the newer name of the token limit."""
    return (
        isinstance(outcome, openai.APIStatusError)
        and outcome.status_code in (400, 422)
        and NEW_LIMIT in str(outcome)
    )


def _is_verdict(error: Any) -> bool:
    """Whether an error object concerns the answer (filtered, too large), not the request."""
    return isinstance(error, dict) and error.get("code") in (*FILTERED, TOO_LARGE)
