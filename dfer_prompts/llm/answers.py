"""Read one stored response: a usable answer, or the reason why there is none.

Some servers send server-sent events although no stream was requested; `assembled` joins them to a response.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from ..parsing import parse_answer
from .refusals import code_of, shortened, words_of
from .sampling import Form, reading

Reason = Literal["truncated", "refused", "empty", "malformed", "failed", "too large"]
BROKEN_OFF = ("error", "abort")  # finish reasons of an incomplete answer
FILTERED = ("content_filter", "content_policy_violation")  # error codes of servers that filter the prompt
REASONING = ("reasoning_content", "reasoning", "reasoning_details")  # keys of a message that hold it
TOO_LARGE = "dfer_prompts_too_large"  # error code of a stored response whose body was too large to read

# A text without descriptors that apologises or declines is a refusal, not an empty list.
DECLINES = re.compile(
    r"\b(sorry|i apologi[sz]e|can[’']?t|can ?not|won[’']?t|unable|not able|decline|against my|"
    r"(?:do not|don[’']?t) (?:identify|analy[sz]e|recogni[sz]e|see)|no images?)\b",
    re.IGNORECASE,
)

_EVENTS = re.compile(r"\s*(?:data|event|id|retry)?:")
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def is_stream(text: str) -> bool:
    """Whether a body looks like server-sent events."""
    return bool(_EVENTS.match(text))


def assembled(text: str) -> dict[str, Any] | None:
    """The chat completion in a body of server-sent events; None if there is none.

    A truncated stream gives a completion whose choice has an `error`.
    """
    if not is_stream(text):
        return None
    chunks = [chunk for line in text.splitlines() if isinstance(chunk := _data(line), dict)]
    if not chunks:
        return None
    failed = next((chunk for chunk in chunks if chunk.get("error")), None)
    if failed is not None:
        return {"error": failed["error"]}
    return _completion(chunks)


def _data(line: str) -> Any:
    field, _, value = line.partition(":")
    try:
        return json.loads(value) if field.strip() == "data" else None
    except (ValueError, RecursionError):  # "[DONE]" among them
        return None


def _completion(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    choice: dict[str, Any] = {"index": 0, "finish_reason": None, "message": message}
    completion: dict[str, Any] = {"object": "chat.completion", "choices": [choice]}
    for chunk in chunks:
        completion |= {key: chunk[key] for key in ("id", "model", "usage") if chunk.get(key) is not None}
        part = _first_choice(chunk)
        delta = part.get("delta") or part.get("message")
        if isinstance(delta, dict):
            message |= {name: _joined(message.get(name), delta.get(name)) for name in _TEXTS}
        choice |= {key: part[key] for key in ("finish_reason", "error") if part.get(key) is not None}
    choice["message"] = {key: value for key, value in message.items() if value is not None}
    if choice["finish_reason"] is None and "error" not in choice:
        choice["error"] = {"message": "the stream ended before its end"}
    return completion


def _first_choice(chunk: dict[str, Any]) -> dict[str, Any]:
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) and first.get("index", 0) == 0 else {}


def _joined(before: Any, more: Any) -> Any:
    """The concatenated text, or a list if one of the two is a list of parts."""
    if more is None or before is None:
        return before if more is None else more
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    lists = [[{"type": "text", "text": each}] if isinstance(each, str) else each for each in (before, more)]
    return [*lists[0], *lists[1]] if all(isinstance(each, list) for each in lists) else before


@dataclass(frozen=True)
class Answer:
    """The descriptors of a response, and the format it was read as."""

    descriptors: list[str]
    reading: Form = "text"


@dataclass(frozen=True)
class Failure:
    """Why a response has no usable answer."""

    reason: Reason
    detail: str


def read_answer(response: Any, form: Form = "text", class_name: str | None = None) -> Answer | Failure:
    """Read one stored response, the body of a chat completion as the server sent it.

    `form` is the response format of the request, `class_name` the class of its prompt. Optional fields such
    as `usage` and `system_fingerprint` may be missing.
    """
    if isinstance(response, dict) and response.get("error"):
        return _read_error(response["error"])
    try:
        choice = response["choices"][0]
        message = choice["message"]
        content, failed = message.get("content"), choice.get("error")
        finish, refusal = choice.get("finish_reason"), message.get("refusal") or _refusal_in(content)
    except (LookupError, TypeError, AttributeError):
        return Failure("malformed", _what_it_is(response))
    if failed or finish in BROKEN_OFF:
        return Failure("failed", shortened(words_of(failed)) or f"finish_reason: {finish}")
    if refusal or finish == "content_filter":
        return Failure("refused", shortened(str(refusal or "finish_reason: content_filter")))
    text = text_of(content)
    return _unfinished(message, text, finish) or _read_text(text or "", form, class_name)


def text_of(content: Any) -> str | None:
    """The text of a message's `content`, which is a text or a list of parts; None if it is neither.

    Parts that are not text (thinking, references) are left out.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, str | dict) for part in content):
        return None
    texts = [part if isinstance(part, str) else part.get("text") for part in content if _is_text(part)]
    return "".join(text for text in texts if isinstance(text, str))


def content_of(response: Any) -> str:
    """The text of any response: an answer, a refusal, an HTML page, or "" if there is none."""
    try:
        message = response["choices"][0]["message"]
        content = message.get("content")
        return str(text_of(content) or message.get("refusal") or _refusal_in(content) or "")
    except (LookupError, TypeError, AttributeError):
        return response if isinstance(response, str) else ""


def usage_of(response: Any, kind: Literal["prompt_tokens", "completion_tokens"]) -> int | None:
    """The token count that the server reports; None if it is missing or invalid."""
    usage = response.get("usage") if isinstance(response, dict) else None
    count = usage.get(kind) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _read_error(error: Any) -> Failure:
    code, words = code_of(error), shortened(words_of(error) or "an error without a message")
    if code == TOO_LARGE:
        return Failure("too large", words)
    return Failure("refused" if code in FILTERED else "malformed", words)


def _unfinished(message: dict[str, Any], text: str | None, finish: Any) -> Failure | None:
    """Why a message has no complete answer (no text, or truncated); None if it has one."""
    if text is None:
        return Failure("malformed", "its content is not text")
    if finish == "length":
        return Failure("truncated", f"finish_reason: length; {_longer(message, text)}")
    if not text.strip() and _reasoned(message):
        return Failure("empty", f"no text, only reasoning; {_longer(message, text)}")
    return None


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or part.get("type", "text") in ("text", "output_text")


def _refusal_in(content: Any) -> str:
    """The text of a content part of type refusal."""
    parts = content if isinstance(content, list) else []
    return "".join(str(part["refusal"]) for part in parts if isinstance(part, dict) and part.get("refusal"))


def _reasoned(message: dict[str, Any]) -> bool:
    """Whether the message contains reasoning, in its own field or inside the content."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    thinking = any(isinstance(part, dict) and "thinking" in part for part in parts)
    return thinking or any(bool(message.get(name)) for name in REASONING)


def _longer(message: dict[str, Any], text: str) -> str:
    """Advice for a truncated or empty answer."""
    if text.strip() or not _reasoned(message):
        return "raise --max-tokens"
    return "lower --reasoning-effort or raise --max-tokens"


def _read_text(text: str, form: Form, class_name: str | None) -> Answer | Failure:
    descriptors = parse_answer(text, class_name)
    if descriptors:
        return Answer(descriptors, reading(form, text))
    if DECLINES.search(text):
        return Failure("refused", shortened(text))
    return Failure("empty", "no descriptor" if text.strip() else "no text")


def _what_it_is(response: Any) -> str:
    if not isinstance(response, str):
        return "JSON, but not a chat completion: no choices"
    if response.lstrip().startswith("<"):
        return "an HTML page; does --base-url end in /v1?"
    if is_stream(response):
        return "an event stream without a chat completion"
    return "not JSON" if response.strip() else "empty body"
