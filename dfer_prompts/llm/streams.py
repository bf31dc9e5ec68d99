"""Answers sent as server-sent events although no stream was requested."""

from __future__ import annotations

import json
import re
from typing import Any

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
    whole: dict[str, Any] = {"object": "chat.completion", "choices": [choice]}
    for chunk in chunks:
        whole |= {key: chunk[key] for key in ("id", "model", "usage") if chunk.get(key) is not None}
        part = _first_choice(chunk)
        delta = part.get("delta") or part.get("message")
        if isinstance(delta, dict):
            message |= {name: _joined(message.get(name), delta.get(name)) for name in _TEXTS}
        choice |= {key: part[key] for key in ("finish_reason", "error") if part.get(key) is not None}
    choice["message"] = {key: value for key, value in message.items() if value is not None}
    if choice["finish_reason"] is None and "error" not in choice:
        choice["error"] = {"message": "the stream ended before its end"}
    return whole


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
