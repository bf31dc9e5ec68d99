"""Refusals and odd answers of language-model servers, as servers in use send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.errors import WorkError
from dfer_prompts.generation.generate import generate
from dfer_prompts.llm.answers import Answer
from dfer_prompts.llm.endpoint import listed_models, resolve_server
from dfer_prompts.llm.refusals import refused_parameters, words_of
from dfer_prompts.workspace import Workspace

from ..client_requests import request_all, request_all_observed, requests_to
from ..endpoint import FakeEndpoint, Reply

LIST = "- raised eyebrows\n- parted lips"
READ = Answer(["raised eyebrows", "parted lips"])
KEY = "sk-verysecret-0123456789"


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def mistral_error(*fields: str) -> dict[str, Any]:
    says = "Extra inputs are not permitted"
    detail = [
        {"type": "extra_forbidden", "loc": ["body", field], "msg": says, "input": 1} for field in fields
    ]
    return {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}


# ---------------------------------------------------------------- the words of a refusal


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (openai_error("no such thing", param="seed"), "no such thing"),
        (mistral_error("seed"), "seed: Extra inputs are not permitted"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "too long"}]}, "messages.0: too long"),
        ({"detail": "no such model"}, "no such model"),
        ([{"error": {"code": 400, "message": "Invalid value", "status": "INVALID"}}], "Invalid value"),
        ({"error": "the text itself"}, "the text itself"),
        ({"error": "Forbidden", "message": "from your country"}, "Forbidden: from your country"),
        ({"message": "plain"}, "plain"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": '{"detail": "no seed"}'}}},
         "Provider returned error: no seed"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "upstream is down"}}},
         "Provider returned error: upstream is down"),
        ({"title": "Bad", "detail": "what is bad"}, "what is bad"),
        ("plain text of a proxy", "plain text of a proxy"),
        ("<html><head><title>403 Forbidden</title></head><body>x</body></html>",
         'an HTML page, "403 Forbidden"'),
        ("<h1>Access &amp; policy</h1>", 'an HTML page, "Access & policy"'),
        ("<p>nothing</p>", ""),
        ({"status": 3}, '{"status": 3}'),
        ({}, ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_refusal_is_shown_with_the_servers_message(endpoint: FakeEndpoint, body: Any, words: str) -> None:
    endpoint.script = lambda request, earlier: Reply(body, status=409)
    _, lost = request_all(endpoint, requests_to(endpoint, 1), retries=0)
    assert lost[0].reason == f"{endpoint.base_url} answers 409" + (f": {words}" if words else "")


def test_messages_are_found_in_hostile_bodies_quickly() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"error": [deep, deep]}
    assert words_of(deep) == ""
    assert len(words_of({"error": "a" * 10**6})) == 2000
    assert words_of("<title>" * 10**5) == ""
    assert refused_parameters({"error": "seed " * 10**6}, ["seed"], ["seed"]) == ["seed"]


# ---------------------------------------------------------------- parameters that a server refuses


def refusing(status: int, *names: str, body: Any) -> Any:
    """A server that refuses requests with any of the parameters, with the body."""

    def script(request: dict[str, Any], earlier: int) -> Reply | None:
        return Reply(body, status=status) if {*names} & request.keys() else None

    return script


@pytest.mark.parametrize(
    ("status", "body", "names"),
    [
        (400, openai_error("Unsupported value: does not support 0.7 with this model", param="temperature"),
         ["temperature"]),
        (400, openai_error("Unsupported parameter: 'top_p' is not supported with this model."), ["top_p"]),
        (400, openai_error("Only the default (1) value is supported for temperature."), ["temperature"]),
        (422, mistral_error("seed"), ["seed"]),
        (422, mistral_error("seed", "top_p"), ["top_p", "seed"]),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}, ["seed"]),
        (400, [{"error": {"code": 400, "message": "Unknown name \"seed\": Cannot find field."}}], ["seed"]),
        (400, {"error": "topP is not supported"}, ["top_p"]),
        (500, openai_error("seed is not implemented"), ["seed"]),
        (200, {"error": {"message": "seed is not supported"}}, ["seed"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["text", "json_schema"])
def test_a_refused_parameter_is_omitted_from_then_on(
    endpoint: FakeEndpoint, status: int, body: Any, names: list[str], form: Any
) -> None:
    endpoint.script = refusing(status, *names, body=body)
    watcher, lost = request_all_observed(endpoint, requests_to(endpoint, 3, form), concurrency=1, retries=0)
    assert lost == []
    taken = [each for each in endpoint.requests if not {*names} & each.keys()]
    assert len(taken) == 3
    assert all({"temperature", "top_p", "seed"} - {*names} <= each.keys() for each in taken)
    assert [body["choices"][0]["finish_reason"] for body in watcher.responses.values()] == ["stop"] * 3
    notes = [note for note in watcher.notes if "requests are sent without it" in note]
    assert [note.split()[2] for note in notes] == names
    assert words_of(body).partition(";")[0] in notes[0]
    assert len(endpoint.requests) <= 3 + 2 * len(names)


@pytest.mark.parametrize(
    ("sampling", "left"),
    [({}, "temperature"), ({"temperature": 1.0, "top_p": 0.5}, "top_p"), ({"top_p": 0.5}, "temperature")],
)
def test_one_of_temperature_and_top_p_is_kept(
    endpoint: FakeEndpoint, sampling: dict[str, Any], left: str
) -> None:
    both = {"temperature", "top_p"}
    says = "`temperature` and `top_p` cannot both be specified for this model."
    endpoint.script = lambda body, earlier: (
        Reply(openai_error(says), status=400) if both <= body.keys() else None
    )
    _, lost = request_all(endpoint, requests_to(endpoint, 2, **sampling), concurrency=1)
    assert lost == []
    assert [both & body.keys() for body in endpoint.requests[1:]] == [{left}] * 2


def test_a_parameter_is_kept_if_omitting_it_also_fails(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        if "seed" in body:
            return Reply(openai_error("seed is wrong"), status=400)
        return Reply(openai_error("the prompt is too long"), status=400) if body["top_p"] == 1 else None

    endpoint.script = script
    watcher, lost = request_all_observed(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} answers 400: the prompt is too long"
    assert watcher.notes == []


def test_a_refusal_that_names_another_parameter_is_reported(endpoint: FakeEndpoint) -> None:
    says = "max_tokens is too large for this temperature"
    endpoint.script = lambda body, earlier: Reply(openai_error(says, param="max_tokens"), status=400)
    _, lost = request_all(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} answers 400: {says}"
    assert len(endpoint.requests) == 1


def test_omitted_parameters_are_in_the_manifest_even_with_stored_answers(
    endpoint: FakeEndpoint, isolated: Path
) -> None:
    endpoint.script = refusing(400, "temperature", body=openai_error("no temperature", param="temperature"))
    messages: list[str] = []
    options: dict[str, Any] = {"base_url": endpoint.base_url, "samples": 1, "top_k": 2}
    first = generate("dfew", note=messages.append, **options)
    again = generate("dfew", **options)
    assert again.asked == 0
    for made in (first, again):
        sampling = made.descriptions.manifest.sampling
        assert sampling["not_sent"] == {"temperature": 7}
        assert "temperature" not in sampling
        assert (sampling["top_p"], sampling["seed"]) == (1.0, 1)
    assert len([each for each in messages if "rejects temperature" in each]) == 1
    rows = (isolated / "descriptions/v2/responses.jsonl").read_text(encoding="utf-8").splitlines()
    assert {tuple(json.loads(row)["not_sent"]) for row in rows} == {("temperature",)}


# ---------------------------------------------------------------- 401 and 403


@pytest.mark.parametrize(
    ("status", "body", "key", "says"),
    [
        (401, openai_error("Incorrect API key provided: sk-ve****6789.", code="invalid_api_key"), KEY,
         "rejects the key in OPENAI_API_KEY"),
        (401, {"message": "Unauthorized"}, KEY, "rejects the key in OPENAI_API_KEY"),
        (401, {"detail": "Invalid API token"}, KEY, "rejects the key in OPENAI_API_KEY"),
        (403, {"error": "API key not valid. Please pass a valid API key."}, KEY,
         "rejects the key in OPENAI_API_KEY"),
        (401, "", KEY, "rejects the key in OPENAI_API_KEY"),
        (401, "", None, "requires a key: set OPENAI_API_KEY"),
        (401, {"error": "No auth credentials found"}, None, "requires a key: set OPENAI_API_KEY"),
        (401, openai_error("You must be a member of an organization to use the API"), KEY,
         "answers 401: You must be a member of an organization to use the API"),
        (403, openai_error("Country, region, or territory not supported", code="unsupported_country"), KEY,
         "answers 403: Country, region, or territory not supported"),
        (403, openai_error("Project `p` does not have access to model `tiny`", code="model_not_found"), KEY,
         "answers 403: Project `p` does not have access to model `tiny`"),
        (403, openai_error("Your organization has been disabled."), KEY,
         "answers 403: Your organization has been disabled."),
        (401, openai_error("This API key belongs to an account that was deactivated."), KEY,
         "answers 401: This API key belongs to an account that was deactivated."),
        (403, "<html><title>Access denied by the proxy</title></html>", KEY,
         'answers 403: an HTML page, "Access denied by the proxy"'),
        (403, "", KEY, "answers 403"),
        (403, openai_error(f"{KEY} may not do this"), KEY, "answers 403: [key] may not do this"),
    ],
)  # fmt: skip
def test_only_an_authentication_error_is_reported_as_a_wrong_key(
    endpoint: FakeEndpoint, status: int, body: Any, key: str | None, says: str
) -> None:
    endpoint.script = lambda request, earlier: Reply(body, status=status)
    _, lost = request_all(endpoint, requests_to(endpoint, 3), api_key=key, concurrency=1)
    assert [each.reason for each in lost] == [f"{endpoint.base_url} {says}"]
    assert len(endpoint.requests) == 1  # the others would be refused like it


def test_a_moderated_request_does_not_stop_the_others(endpoint: FakeEndpoint) -> None:
    says = "Your chosen model requires moderation and your input was flagged"
    endpoint.script = lambda body, earlier: (
        Reply(openai_error(says, code=403), status=403) if body["seed"] == 1 else None
    )
    responses, lost = request_all(endpoint, requests_to(endpoint, 3), api_key=KEY, concurrency=1)
    assert [each.reason for each in lost] == [f"{endpoint.base_url} answers 403: {says}"]
    assert len(responses) == 2


def test_a_refused_list_of_models_is_reported_with_its_reason(
    endpoint: FakeEndpoint, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.models_reply = Reply({"detail": "not from your country"}, status=403)
    with pytest.raises(WorkError, match="answers 403: not from your country"):
        listed_models(resolve_server(Workspace(isolated), endpoint.base_url))
