"""What counts as an answer: judging one stored response."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ..parsing import parse_answer
from .endpoint import shortened
from .response_formats import Form, reading

Reason = Literal["truncated", "refused", "empty", "malformed", "too large"]
FILTERED = ("content_filter", "content_policy_violation")  # error codes of servers that filter the question
TOO_LARGE = "dfer_prompts_too_large"  # the error code under which an answer is stored that was not read

# A text without descriptors that apologises or declines was a refusal in prose, not a poor list.
DECLINES = re.compile(
    r"\b(sorry|i apologi[sz]e|can[’']?t|can ?not|won[’']?t|unable|decline)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What a response said, and how it could be read."""

    descriptors: list[str]
    reading: Form = "text"


@dataclass(frozen=True)
class Failure:
    """Why a response is no answer."""

    reason: Reason
    detail: str


def read_answer(response: Any, form: Form = "text", class_name: str | None = None) -> Answer | Failure:
    """Judge one stored response, the body of a chat completion as the server sent it.

    `form` is what the request was sent in, `class_name` the class that was asked about. `usage`,
    `system_fingerprint` and all else that is optional may be missing.
    """
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        return _read_error(response["error"])
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
    return (
        _read_text(text, form, class_name)
        if isinstance(text, str)
        else Failure("malformed", "its content is no text")
    )


def content_of(response: Any) -> str:
    """The text of a response, whatever there is of it: an answer, a refusal, a page, or nothing."""
    try:
        message = response["choices"][0]["message"]
        return str(message.get("content") or message.get("refusal") or "")
    except (LookupError, TypeError, AttributeError):
        return response if isinstance(response, str) else ""


def usage_of(response: Any, kind: Literal["prompt_tokens", "completion_tokens"]) -> int | None:
    """The tokens a server says it counted; None where it says nothing that could be a count."""
    usage = response.get("usage") if isinstance(response, dict) else None
    count = usage.get(kind) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _read_error(error: dict[str, Any]) -> Failure:
    code, words = error.get("code"), shortened(str(error.get("message") or "an error object"))
    if code == TOO_LARGE:
        return Failure("too large", words)
    return Failure("refused" if code in FILTERED else "malformed", words)


def _read_text(text: str, form: Form, class_name: str | None) -> Answer | Failure:
    descriptors = parse_answer(text, class_name)
    if descriptors:
        return Answer(descriptors, reading(form, text))
    if DECLINES.search(text):
        return Failure("refused", shortened(text))
    return Failure("empty", "no descriptor in it" if text.strip() else "no text in it")


def _what_it_is(response: Any) -> str:
    if not isinstance(response, str):
        return "JSON, but no chat completion: it has no choices"
    if response.lstrip().startswith("<"):
        return "an HTML page; does --base-url end in /v1?"
    return "not JSON" if response.strip() else "nothing at all"
