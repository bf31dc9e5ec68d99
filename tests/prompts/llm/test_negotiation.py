"""Structured output: what is sent, what servers make of it, and what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dfer_prompts.llm.answers import Answer, read_answer
from dfer_prompts.llm.response_cache import Request
from dfer_prompts.llm.sampling import JSON_SCHEMA, SCHEMA, Sampling

from ..client_requests import request_all_observed, requests_to
from ..endpoint import FakeEndpoint, Reply, completion

LISTED = json.dumps({"descriptors": ["raised eyebrows", "parted lips"]})
PROSE = "- raised eyebrows\n- parted lips"
JSON_OBJECT = {"type": "json_object", "schema": SCHEMA}


def requests_for_json(server: FakeEndpoint, count: int = 3, **sampling: Any) -> list[Request]:
    return requests_to(server, count, "json_schema", **sampling)


def forms(server: FakeEndpoint) -> list[str]:
    """The forms in which the server was asked, in their order."""
    return [body.get("response_format", {}).get("type", "text") for body in server.requests]


def refusing(*types: str, status: int = 400, message: str = "unknown field response_format") -> Any:
    """A server that takes no response format of these types, and honours the others."""

    def script(body: dict[str, Any], earlier: int) -> Reply:
        form = body.get("response_format", {}).get("type", "text")
        if form in types:
            return Reply({"error": {"message": message}}, status=status)
        return Reply(completion(PROSE if form == "text" else LISTED))

    return script


def test_the_complete_schema_is_sent_to_a_server_that_accepts_it(endpoint: FakeEndpoint) -> None:
    endpoint.script = refusing()
    watcher, lost = request_all_observed(endpoint, requests_for_json(endpoint))
    assert lost == []
    assert [body["response_format"] for body in endpoint.requests] == [JSON_SCHEMA] * 3
    assert JSON_SCHEMA["json_schema"]["strict"] is True
    assert watcher.forms == ["json_schema"] * 3
    assert watcher.notes == []
    read = {read_answer(body, "json_schema").reading for body in watcher.responses.values()}  # type: ignore[union-attr]
    assert read == {"json_schema"}


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    ("refused", "taken"),
    [(("json_schema",), "json_object"), (("json_schema", "json_object"), "text")],
)
def test_a_refused_response_format_falls_back_to_the_next_once(
    endpoint: FakeEndpoint, refused: tuple[str, ...], taken: str, status: int
) -> None:
    endpoint.script = refusing(*refused, status=status)
    watcher, lost = request_all_observed(endpoint, requests_for_json(endpoint, 6), concurrency=6)
    assert lost == []
    attempts = 2 if status == 500 else 1  # the SDK tries a 500 again, here once only
    assert forms(endpoint) == [each for form in refused for each in [form] * attempts] + [taken] * 6
    assert watcher.forms == [taken] * 6
    assert len(watcher.notes) == 1
    assert "rejects response_format json_schema" in watcher.notes[0]
    assert ("requesting text" if taken == "text" else "response_format json_object") in watcher.notes[0]


def test_the_object_form_carries_the_schema(endpoint: FakeEndpoint) -> None:
    endpoint.script = refusing("json_schema")
    request_all_observed(endpoint, requests_for_json(endpoint, 1))
    assert endpoint.requests[-1]["response_format"] == JSON_OBJECT


def test_a_server_that_ignores_the_schema_is_read_as_text_and_reported_once(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(completion(PROSE))
    watcher, lost = request_all_observed(endpoint, requests_for_json(endpoint, 4))
    assert lost == []
    assert watcher.forms == ["json_schema"] * 4
    (note,) = watcher.notes
    assert "ignores response_format json_schema" in note
    for body in watcher.responses.values():
        assert read_answer(body, "json_schema") == Answer(["raised eyebrows", "parted lips"], "text")


def test_another_reason_for_status_400_is_reported_unchanged(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(
        {"error": {"message": f"the prompt is wrong, try {len(endpoint.requests)}"}}, status=400
    )
    _, lost = request_all_observed(endpoint, requests_for_json(endpoint, 1))
    assert forms(endpoint) == ["json_schema", "json_object", "text"]
    assert lost[0].reason == f"{endpoint.base_url} answers 400: the prompt is wrong, try 1"


def test_after_a_refused_format_the_next_error_is_reported(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply:
        says = "no response_format here" if "response_format" in body else "the prompt is too long"
        return Reply({"error": {"message": says}}, status=400)

    endpoint.script = script
    _, lost = request_all_observed(endpoint, requests_for_json(endpoint, 1))
    assert lost[0].reason.endswith("the prompt is too long")


def test_an_error_with_status_200_is_a_refusal(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply:
        return Reply({"error": {"message": "?"}} if "response_format" in body else completion(PROSE))

    endpoint.script = script
    watcher, _ = request_all_observed(endpoint, requests_for_json(endpoint, 2))
    assert watcher.forms == ["text"] * 2


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_a_content_filter_is_an_answer_in_any_format(endpoint: FakeEndpoint, code: str) -> None:
    endpoint.script = lambda body, earlier: Reply({"error": {"message": "no", "code": code}}, status=400)
    watcher, lost = request_all_observed(endpoint, requests_for_json(endpoint, 1))
    assert lost == []
    assert forms(endpoint) == ["json_schema"]
    (body,) = watcher.responses.values()
    assert read_answer(body).reason == "refused"  # type: ignore[union-attr]


def test_a_busy_server_is_not_a_refusal(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": "slow down"}}, status=429) if earlier < 4 else Reply(completion(LISTED))
    )
    watcher, lost = request_all_observed(endpoint, requests_for_json(endpoint, 1))
    assert lost == []
    assert watcher.forms == ["json_schema"]
    assert watcher.notes == []


def test_other_formats_are_not_tried_after_a_refused_key(endpoint: FakeEndpoint) -> None:
    endpoint.api_key = "another"
    _, lost = request_all_observed(endpoint, requests_for_json(endpoint, 3), concurrency=1)
    assert forms(endpoint) == ["json_schema"]
    assert "requires a key" in lost[0].reason


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        (LISTED, "json_object"),
        (f" {LISTED}\n", "json_object"),
        (f"```json\n{LISTED}\n```", "text"),
        ('{"descriptors": "raised eyebrows, parted lips"}', "text"),
        ('["raised eyebrows", "parted lips"]', "text"),
        (PROSE, "text"),
    ],
)
def test_only_valid_answers_are_read_by_the_schema(content: str, reading: str) -> None:
    read = read_answer(completion(content), "json_object")
    assert isinstance(read, Answer)
    assert read.reading == reading
    assert read.descriptors == ["raised eyebrows", "parted lips"]


def test_after_a_refusal_the_new_name_of_the_token_limit_is_used(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        if "max_tokens" in body:
            says = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Reply({"error": {"message": says, "code": "unsupported_parameter"}}, status=400)
        return None

    endpoint.script = script
    requests = [
        Request(
            "fear", endpoint.base_url, "tiny", ({"role": "user", "content": f"fear {i}?"},), Sampling(), i
        )
        for i in range(4)
    ]
    _, lost = request_all_observed(endpoint, requests, concurrency=1)
    assert lost == []
    assert ["max_tokens" in body for body in endpoint.requests] == [True, False, False, False, False]
    assert all(body["max_completion_tokens"] == 2048 for body in endpoint.requests[1:])
    assert all("n" not in body for body in endpoint.requests)
