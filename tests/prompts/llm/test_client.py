"""Asking a real HTTP server: what is sent, what counts as an answer, and what a person reads on failure."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import Any

import pytest

from dfer_prompts.errors import InputError
from dfer_prompts.llm.answers import Answer, Failure, read_answer
from dfer_prompts.llm.client import Watcher, ask
from dfer_prompts.llm.endpoint import Endpoint
from dfer_prompts.llm.negotiation import Reply as Arrived
from dfer_prompts.llm.response_cache import Request

from ..client_requests import request_all, request_all_observed, requests_to
from ..endpoint import FakeEndpoint, Reply, completion, cut, endless, raw, serve

LIST = "- raised eyebrows\n- parted lips"
KEY = "sk-verysecret-0123456789"


# ---------------------------------------------------------------- what counts as an answer


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (completion(LIST), Answer(["raised eyebrows", "parted lips"])),
        ({"choices": [{"message": {"content": LIST}}]}, Answer(["raised eyebrows", "parted lips"])),
        (completion(f"<think>lips?</think>\n{LIST}"), Answer(["raised eyebrows", "parted lips"])),
        (completion(LIST, finish="length"), "truncated"),
        (completion(None, refusal="I cannot talk about faces."), "refused"),
        (completion(LIST, finish="content_filter"), "refused"),
        (completion("I'm sorry, but I can't help with that."), "refused"),
        ({"error": {"code": "content_filter", "message": "filtered"}}, "refused"),
        (completion(""), "empty"),
        (completion(None), "empty"),
        (completion(" \n "), "empty"),
        (completion("<think>all of it was thinking</think>"), "empty"),
        ({"choices": []}, "malformed"),
        ({"choices": None}, "malformed"),
        ({"choices": [{}]}, "malformed"),
        ({"choices": ["text"]}, "malformed"),
        ({"choices": [{"message": None}]}, "malformed"),
        ({"choices": [{"message": {"content": [1, 2]}}]}, "malformed"),
        ({"error": {"message": "overloaded"}}, "malformed"),
        ({}, "malformed"),
        ([], "malformed"),
        (None, "malformed"),
        ("<html>Welcome</html>", "malformed"),
        ("", "malformed"),
    ],
)
def test_reading_a_response(response: Any, expected: Answer | str) -> None:
    read = read_answer(response)
    if isinstance(expected, Answer):
        assert read == expected
    else:
        assert isinstance(read, Failure)
        assert read.reason == expected
        assert read.detail
        assert "\n" not in read.detail


# ---------------------------------------------------------------- what is sent


def test_each_request_is_sent_once_with_every_sampling_parameter(endpoint: FakeEndpoint) -> None:
    requests = requests_to(endpoint, 4, temperature=0.3, top_p=0.8, max_tokens=99, seed=20)
    responses, lost = request_all(endpoint, requests)
    assert lost == []
    assert set(responses) == {request.key for request in requests}
    assert sorted(body["seed"] for body in endpoint.requests) == [20, 21, 22, 23]
    for body in endpoint.requests:
        assert body == {
            "model": "tiny",
            "messages": [{"role": "user", "content": f"features of fear {body['seed'] - 20}?"}],
            "temperature": 0.3,
            "top_p": 0.8,
            "max_tokens": 99,
            "seed": body["seed"],
        }


def test_a_reasoning_effort_is_sent_when_set(endpoint: FakeEndpoint) -> None:
    request_all(endpoint, requests_to(endpoint, 1, reasoning_effort="low"))
    assert endpoint.requests[0]["reasoning_effort"] == "low"


def test_openai_is_sent_the_new_name_of_the_token_limit() -> None:
    assert Endpoint("https://api.openai.com/v1", "gpt").token_limit_name == "max_completion_tokens"
    assert Endpoint("http://localhost:11434/v1", "gpt").token_limit_name == "max_tokens"


def test_the_number_of_concurrent_requests_is_limited(endpoint: FakeEndpoint) -> None:
    endpoint.latency = 0.05
    request_all(endpoint, requests_to(endpoint, 12), concurrency=3)
    assert endpoint.max_concurrent == 3
    assert len(endpoint.requests) == 12


def test_the_key_is_sent_to_the_endpoint_and_is_optional(endpoint: FakeEndpoint) -> None:
    endpoint.api_key = KEY
    responses, lost = request_all(endpoint, requests_to(endpoint, 2), api_key=KEY)
    assert len(responses) == 2
    assert lost == []
    assert set(endpoint.authorizations) == {f"Bearer {KEY}"}


def test_a_redirect_to_another_host_is_not_sent_the_key(endpoint: FakeEndpoint) -> None:
    with serve() as stranger:
        endpoint.script = lambda body, earlier: Reply(
            status=307, headers={"location": f"{stranger.base_url}/chat/completions"}
        )
        request_all(endpoint, requests_to(endpoint, 1), api_key=KEY)
        assert not any(KEY in (value or "") for value in stranger.authorizations)


# ---------------------------------------------------------------- failures of the server


def test_status_429_and_500_are_retried(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        if body["messages"][0]["content"].endswith("0?") and earlier < 1:
            return Reply({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "0.01"})
        if body["messages"][0]["content"].endswith("1?") and earlier < 3:
            return Reply({"error": {"message": "boom"}}, status=500)
        return None

    endpoint.script = script
    requests = requests_to(endpoint, 3)
    responses, lost = request_all(endpoint, requests)
    assert lost == []
    assert all(isinstance(read_answer(responses[request.key]), Answer) for request in requests)
    assert len(endpoint.requests) == (1 + 1) + (3 + 1) + 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_other_answers_are_kept_if_one_request_always_fails(endpoint: FakeEndpoint, status: int) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        hopeless = body["messages"][0]["content"].endswith("0?")
        return Reply({"error": {"message": "no\nluck"}}, status=status) if hopeless else None

    endpoint.script = script
    responses, lost = request_all(endpoint, requests_to(endpoint, 5), retries=2, concurrency=1)
    assert len(responses) == 4
    assert [each.request.sample for each in lost] == [0]
    assert lost[0].reason == f"{endpoint.base_url} answers {status}: no luck"


def test_requests_stop_if_every_one_fails(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply({"error": {"message": "slow down"}}, status=429)
    responses, lost = request_all(endpoint, requests_to(endpoint, 60), retries=0, concurrency=2)
    assert responses == {}
    assert 10 <= len(lost) == len(endpoint.requests) <= 11


def test_requests_continue_after_one_answer_among_failures(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: (
        None if body["seed"] == 5 else Reply({"error": {"message": "slow down"}}, status=429)
    )
    responses, lost = request_all(endpoint, requests_to(endpoint, 40), retries=0, concurrency=2)
    assert (len(responses), len(lost)) == (1, 39)


def test_a_page_instead_of_an_answer_is_stored_unchanged(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply("<html>It works!</html>")
    requests = requests_to(endpoint, 1)
    responses, lost = request_all(endpoint, requests)
    assert lost == []
    assert responses[requests[0].key] == "<html>It works!</html>"
    assert read_answer(responses[requests[0].key]) == Failure(
        "malformed", "an HTML page; does --base-url end in /v1?"
    )


def test_a_refused_key_stops_all_requests_without_retries(endpoint: FakeEndpoint) -> None:
    endpoint.api_key = "another"
    responses, lost = request_all(endpoint, requests_to(endpoint, 9), api_key=KEY, concurrency=1)
    assert responses == {}
    assert len(endpoint.requests) == 1
    assert lost[0].reason == f"{endpoint.base_url} rejects the key in OPENAI_API_KEY"


def test_a_required_key_is_an_error_that_names_the_variable(endpoint: FakeEndpoint) -> None:
    endpoint.api_key = "another"
    _, lost = request_all(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} requires a key: set OPENAI_API_KEY"


def test_a_key_echoed_by_the_server_is_not_stored(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": f"bad luck with {KEY}"}}, status=500)
        if body["messages"][0]["content"].endswith("0?")
        else Reply(completion(f"- raised eyebrows\n- {KEY}"))
    )
    responses, lost = request_all(endpoint, requests_to(endpoint, 2), api_key=KEY, retries=0)
    assert "bad luck with [key]" in lost[0].reason
    assert KEY not in str(responses)
    assert KEY not in repr(Endpoint(endpoint.base_url, "tiny", KEY))


@pytest.mark.parametrize(
    "refusal",
    [
        Reply({"error": {"message": "no such model", "code": "model_not_found"}}, status=404),
        Reply({"error": {"message": "Invalid model name passed in", "code": "400"}}, status=400),
        Reply({"detail": "unknown"}, status=422),
    ],
)
def test_an_unknown_model_is_an_error_that_lists_the_models(endpoint: FakeEndpoint, refusal: Reply) -> None:
    endpoint.models = ["large", "tiny2"]
    endpoint.script = lambda body, earlier: refusal
    with pytest.raises(InputError) as error:
        request_all(endpoint, requests_to(endpoint, 1))
    assert str(error.value) == (
        f"{endpoint.base_url} does not know the model 'tiny'\nAvailable: tiny2, large"
    )


def test_a_refused_parameter_is_reported_with_the_servers_message(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(
        {"error": {"message": "Unsupported parameter: 'temperature'", "code": "unsupported_parameter"}},
        status=400,
    )
    _, lost = request_all(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} answers 400: Unsupported parameter: 'temperature'"


def test_every_retry_is_reported(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": "boom"}}, status=500) if earlier < body["seed"] else None
    )
    watcher, lost = request_all_observed(endpoint, requests_to(endpoint, 3))
    assert lost == []
    assert sorted(watcher.retries) == [0, 1, 1, 2, 2, 2]  # seeds 1, 2 and 3


def test_a_timeout_fails_one_request_only(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: endless(rest=b" ", pause=0.02) if body["seed"] == 1 else None
    responses, lost = request_all(endpoint, requests_to(endpoint, 3), timeout=0.3, concurrency=1)
    assert len(responses) == 2
    assert [each.reason for each in lost] == [f"{endpoint.base_url} did not answer in time"]
    assert len(endpoint.requests) == 3  # not asked again


def test_too_large_an_answer_is_a_failure_and_not_read_completely(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: endless() if body["seed"] == 1 else None
    requests = requests_to(endpoint, 2)
    responses, lost = request_all(endpoint, requests)
    assert lost == []
    assert read_answer(responses[requests[0].key]) == Failure("too large", "more than 32 MiB")
    assert isinstance(read_answer(responses[requests[1].key]), Answer)


def test_a_broken_connection_is_retried_and_reported_for_its_request_only(
    endpoint: FakeEndpoint,
) -> None:
    content = json.dumps(completion(LIST)).encode()
    endpoint.script = lambda body, earlier: (
        cut(content) if body["seed"] == 1 or (body["seed"] == 2 and earlier == 0) else None
    )
    responses, lost = request_all(endpoint, requests_to(endpoint, 3), retries=1, concurrency=1)
    assert len(responses) == 2
    (one,) = lost
    assert one.reason.startswith(f"{endpoint.base_url} closed the connection")
    assert not one.final


def test_a_compressed_answer_is_read(endpoint: FakeEndpoint) -> None:
    body = gzip.compress(json.dumps(completion(LIST)).encode())
    fields = (f"content-length: {len(body)}", "content-encoding: gzip")
    endpoint.script = lambda _, earlier: raw(body, *fields)
    requests = requests_to(endpoint, 1)
    responses, lost = request_all(endpoint, requests)
    assert lost == []
    assert responses[requests[0].key] == completion(LIST)


def test_an_unreachable_server_is_reported_at_once(endpoint: FakeEndpoint) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint.base_url = f"http://127.0.0.1:{port}/v1"
    responses, lost = request_all(endpoint, requests_to(endpoint, 9))
    assert responses == {}
    assert len(lost) == 1
    assert lost[0].reason == f"no server at http://127.0.0.1:{port}/v1 (Connection refused)"


def test_errors_of_storing_are_raised_unchanged(endpoint: FakeEndpoint) -> None:
    class Full(Watcher):
        async def arrived(self, request: Request, reply: Arrived) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(ask(Endpoint(endpoint.base_url, "tiny"), requests_to(endpoint, 9), Full()))


def test_half_an_emoji_in_an_answer_is_still_text(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(completion("- raised eyebrows \ud83d"))
    requests = requests_to(endpoint, 1)
    responses, _ = request_all(endpoint, requests)
    assert responses[requests[0].key] == completion("- raised eyebrows ?")
