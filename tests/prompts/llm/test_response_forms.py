"""What a response says: content in parts, broken-off answers, and event streams that were not requested."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dfer_prompts.llm.answers import Answer, Failure, read_answer, usage_of

from ..client_requests import request_all, requests_to
from ..endpoint import FakeEndpoint, completion, raw

LIST = "- raised eyebrows\n- parted lips"
READ = Answer(["raised eyebrows", "parted lips"])
KEY = "sk-verysecret-0123456789"


def message(content: Any, finish: str = "stop", **more: Any) -> dict[str, Any]:
    return completion(content, finish=finish, **more)


def choice(**changes: Any) -> dict[str, Any]:
    body = completion("- raised eyebr")
    body["choices"][0] |= changes
    return body


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "- closed eyes?"}]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (message([THINKING, {"type": "text", "text": LIST}]), READ),
        (message([{"type": "text", "text": "- raised "}, {"type": "text", "text": "eyebrows\n- parted lips"}],
                 "stop"),
         READ),
        (message([{"text": LIST}]), READ),
        (message([LIST]), READ),
        (message([{"type": "output_text", "text": LIST}, {"type": "reference", "ids": [1]}]), READ),
        (message([{"type": "refusal", "refusal": "I will not."}]), Failure("refused", "I will not.")),
        (message([THINKING]),
         Failure("empty", "no text, only reasoning; lower --reasoning-effort or raise --max-tokens")),
        (message([]), Failure("empty", "no text")),
        (message([1, 2]), Failure("malformed", "its content is not text")),
        (message({"text": LIST}), Failure("malformed", "its content is not text")),
        (message("", reasoning_content="hm"),
         Failure("empty", "no text, only reasoning; lower --reasoning-effort or raise --max-tokens")),
        (message(None, reasoning="hm"),
         Failure("empty", "no text, only reasoning; lower --reasoning-effort or raise --max-tokens")),
        (message("", "length", reasoning="hm"),
         Failure("truncated", "finish_reason: length; lower --reasoning-effort or raise --max-tokens")),
        (message("- a", "length", reasoning="hm"),
         Failure("truncated", "finish_reason: length; raise --max-tokens")),
        (message(LIST, reasoning="hm"), READ),
        (message(LIST, "error"), Failure("failed", "finish_reason: error")),
        (message(LIST, "abort"), Failure("failed", "finish_reason: abort")),
        (choice(finish_reason="error", error={"code": 502, "message": "Upstream idle timeout"}),
         Failure("failed", "Upstream idle timeout")),
        (choice(error={"message": "broke off"}), Failure("failed", "broke off")),
        (choice(error="broke off"), Failure("failed", "broke off")),
        ({"error": "model is loading"}, Failure("malformed", "model is loading")),
        ({"error": ["a", "b"]}, Failure("malformed", "a; b")),
        ({**completion(LIST), "error": None}, READ),
        ({**completion(LIST), "error": "half of it"}, Failure("malformed", "half of it")),
    ],
)  # fmt: skip
def test_fields_of_a_response(body: Any, expected: Answer | Failure) -> None:
    assert read_answer(body) == expected


def events(*data: Any, end: bool = True) -> bytes:
    lines = [f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in data]
    return "".join([": PROCESSING\n\n", *lines, "data: [DONE]\n\n" if end else ""]).encode()


def delta(content: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (events(delta("- raised ey", role="assistant"), delta("ebrows\n- parted"), delta(" lips", "stop"),
                {"choices": []}), READ),
        (events(delta(None, reasoning_content="hm"), delta(LIST), delta(None, "stop")), READ),
        (events(delta([THINKING]), delta(LIST), delta(None, "stop")), READ),
        (events(completion(LIST), end=False), READ),
        (b"event: message\r\ndata: " + json.dumps(completion(LIST)).encode() + b"\r\n\r\n", READ),
        (events(delta("- raised"), end=False), Failure("failed", "the stream ended before its end")),
        (events(delta("- raised"), {"error": {"message": "overloaded"}}), Failure("malformed", "overloaded")),
        (events(delta("- raised", "length")),
         Failure("truncated", "finish_reason: length; raise --max-tokens")),
        (events("no JSON"), Failure("malformed", "an event stream without a chat completion")),
        (b": nothing\n\n", Failure("malformed", "an event stream without a chat completion")),
    ],
)  # fmt: skip
def test_an_unrequested_stream_is_read(
    endpoint: FakeEndpoint, stream: bytes, expected: Answer | Failure
) -> None:
    endpoint.script = lambda body, earlier: raw(stream, kind="text/event-stream")
    requests = requests_to(endpoint, 1)
    responses, lost = request_all(endpoint, requests, retries=0)
    assert lost == []
    assert read_answer(responses[requests[0].key]) == expected


def test_usage_of_a_stream_is_counted(endpoint: FakeEndpoint) -> None:
    stream = events(
        delta(LIST, "stop"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    )
    endpoint.script = lambda body, earlier: raw(stream)
    responses, _ = request_all(endpoint, requests_to(endpoint, 1))
    (body,) = responses.values()
    assert (usage_of(body, "prompt_tokens"), usage_of(body, "completion_tokens")) == (3, 4)


def test_a_key_split_over_stream_chunks_is_not_stored(endpoint: FakeEndpoint) -> None:
    stream = events(delta(f"- a frown\n- {KEY[:9]}"), delta(f"{KEY[9:]}\n- wide eyes", "stop"))
    endpoint.script = lambda body, earlier: raw(stream)
    responses, _ = request_all(endpoint, requests_to(endpoint, 1), api_key=KEY)
    assert "- a frown\\n- [key]\\n- wide eyes" in json.dumps(responses)
