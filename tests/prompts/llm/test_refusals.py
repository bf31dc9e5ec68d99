"""Refusals and odd answers of language-model servers, as servers in use send them."""

from __future__ import annotations

import json
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.errors import DferError, InputError, WorkError
from dfer_prompts.generation.generate import generate
from dfer_prompts.llm.answers import Answer, Failure, read_answer, usage_of
from dfer_prompts.llm.endpoint import listed_models, normal_url, resolve_server
from dfer_prompts.llm.refusals import refused_parameters, words_of
from dfer_prompts.versions.hub import pull
from dfer_prompts.workspace import Workspace

from ..asking import asked, requests_to, watched
from ..endpoint import FakeEndpoint, Reply, completion, raw

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
def test_a_refusal_of_any_form_is_shown_in_the_servers_words(
    endpoint: FakeEndpoint, body: Any, words: str
) -> None:
    endpoint.script = lambda request, earlier: Reply(body, status=409)
    _, lost = asked(endpoint, requests_to(endpoint, 1), retries=0)
    assert lost[0].reason == f"{endpoint.base_url} answers 409" + (f": {words}" if words else "")


def test_words_are_found_in_bodies_that_were_made_to_be_expensive() -> None:
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
def test_a_refused_parameter_is_left_out_from_then_on(
    endpoint: FakeEndpoint, status: int, body: Any, names: list[str], form: Any
) -> None:
    endpoint.script = refusing(status, *names, body=body)
    watcher, lost = watched(endpoint, requests_to(endpoint, 3, form), concurrency=1, retries=0)
    assert lost == []
    taken = [each for each in endpoint.asked if not {*names} & each.keys()]
    assert len(taken) == 3
    assert all({"temperature", "top_p", "seed"} - {*names} <= each.keys() for each in taken)
    assert [body["choices"][0]["finish_reason"] for body in watcher.responses.values()] == ["stop"] * 3
    notes = [note for note in watcher.notes if "requests are sent without it" in note]
    assert [note.split()[2] for note in notes] == names
    assert words_of(body).partition(";")[0] in notes[0]
    assert len(endpoint.asked) <= 3 + 2 * len(names)


@pytest.mark.parametrize(
    ("sampling", "left"),
    [({}, "temperature"), ({"temperature": 1.0, "top_p": 0.5}, "top_p"), ({"top_p": 0.5}, "temperature")],
)
def test_of_temperature_and_top_p_one_is_left(
    endpoint: FakeEndpoint, sampling: dict[str, Any], left: str
) -> None:
    both = {"temperature", "top_p"}
    says = "`temperature` and `top_p` cannot both be specified for this model."
    endpoint.script = lambda body, earlier: (
        Reply(openai_error(says), status=400) if both <= body.keys() else None
    )
    _, lost = asked(endpoint, requests_to(endpoint, 2, **sampling), concurrency=1)
    assert lost == []
    assert [both & body.keys() for body in endpoint.asked[1:]] == [{left}] * 2


def test_a_parameter_without_which_a_request_fails_too_is_not_given_up(endpoint: FakeEndpoint) -> None:
    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        if "seed" in body:
            return Reply(openai_error("seed is wrong"), status=400)
        return Reply(openai_error("the prompt is too long"), status=400) if body["top_p"] == 1 else None

    endpoint.script = script
    watcher, lost = watched(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} answers 400: the prompt is too long"
    assert watcher.notes == []


def test_a_refusal_that_names_another_parameter_is_told(endpoint: FakeEndpoint) -> None:
    says = "max_tokens is too large for this temperature"
    endpoint.script = lambda body, earlier: Reply(openai_error(says, param="max_tokens"), status=400)
    _, lost = asked(endpoint, requests_to(endpoint, 1))
    assert lost[0].reason == f"{endpoint.base_url} answers 400: {says}"
    assert len(endpoint.asked) == 1


def test_what_was_not_sent_stands_in_the_manifest_also_when_the_answers_were_stored(
    endpoint: FakeEndpoint, isolated: Path
) -> None:
    endpoint.script = refusing(400, "temperature", body=openai_error("no temperature", param="temperature"))
    said: list[str] = []
    options: dict[str, Any] = {"base_url": endpoint.base_url, "samples": 1, "top_k": 2}
    first = generate("dfew", note=said.append, **options)
    again = generate("dfew", **options)
    assert again.asked == 0
    for made in (first, again):
        sampling = made.descriptions.manifest.sampling
        assert sampling["not_sent"] == {"temperature": 7}
        assert "temperature" not in sampling
        assert (sampling["top_p"], sampling["seed"]) == (1.0, 1)
    assert len([each for each in said if "rejects temperature" in each]) == 1
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
def test_only_a_key_that_is_wrong_is_called_wrong(
    endpoint: FakeEndpoint, status: int, body: Any, key: str | None, says: str
) -> None:
    endpoint.script = lambda request, earlier: Reply(body, status=status)
    _, lost = asked(endpoint, requests_to(endpoint, 3), api_key=key, concurrency=1)
    assert [each.reason for each in lost] == [f"{endpoint.base_url} {says}"]
    assert len(endpoint.asked) == 1  # the others would be refused like it


def test_a_question_that_is_moderated_does_not_stop_the_others(endpoint: FakeEndpoint) -> None:
    says = "Your chosen model requires moderation and your input was flagged"
    endpoint.script = lambda body, earlier: (
        Reply(openai_error(says, code=403), status=403) if body["seed"] == 1 else None
    )
    responses, lost = asked(endpoint, requests_to(endpoint, 3), api_key=KEY, concurrency=1)
    assert [each.reason for each in lost] == [f"{endpoint.base_url} answers 403: {says}"]
    assert len(responses) == 2


def test_the_list_of_models_may_be_refused_for_another_reason(
    endpoint: FakeEndpoint, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.models_reply = Reply({"detail": "not from your country"}, status=403)
    with pytest.raises(WorkError, match="answers 403: not from your country"):
        listed_models(resolve_server(Workspace(isolated), endpoint.base_url))


# ---------------------------------------------------------------- what a message holds


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
def test_what_a_response_says(body: Any, expected: Answer | Failure) -> None:
    assert read_answer(body) == expected


# ---------------------------------------------------------------- a stream nobody asked for


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
def test_a_stream_that_nobody_asked_for_is_read(
    endpoint: FakeEndpoint, stream: bytes, expected: Answer | Failure
) -> None:
    endpoint.script = lambda body, earlier: raw(stream, kind="text/event-stream")
    requests = requests_to(endpoint, 1)
    responses, lost = asked(endpoint, requests, retries=0)
    assert lost == []
    assert read_answer(responses[requests[0].key]) == expected


def test_the_tokens_that_a_stream_counts_are_counted(endpoint: FakeEndpoint) -> None:
    stream = events(
        delta(LIST, "stop"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    )
    endpoint.script = lambda body, earlier: raw(stream)
    responses, _ = asked(endpoint, requests_to(endpoint, 1))
    (body,) = responses.values()
    assert (usage_of(body, "prompt_tokens"), usage_of(body, "completion_tokens")) == (3, 4)


def test_a_key_in_pieces_of_a_stream_is_not_kept(endpoint: FakeEndpoint) -> None:
    stream = events(delta(f"- a frown\n- {KEY[:9]}"), delta(f"{KEY[9:]}\n- wide eyes", "stop"))
    endpoint.script = lambda body, earlier: raw(stream)
    responses, _ = asked(endpoint, requests_to(endpoint, 1), api_key=KEY)
    assert "- a frown\\n- [key]\\n- wide eyes" in json.dumps(responses)


# ---------------------------------------------------------------- addresses, proxies, certificates


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h:1/v1/chat/completions", "ends in /chat/completions, which is appended"),
        ("http://h:1/v1/chat/completions/", "Use http://h:1/v1"),
        ("https://h/openai/v1/completions", "Use https://h/openai/v1"),
        ("https://h/v1/responses", "ends in /responses"),
    ],
)
def test_the_address_of_a_request_is_no_base_url(url: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        normal_url(url)
    assert says in str(error.value)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which NO_PROXY excludes nothing."""
    monkeypatch.delenv("NO_PROXY")
    return monkeypatch


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://127.0.0.1:9", "x:y"]
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
def test_a_loopback_server_is_asked_past_any_proxy(
    endpoint: FakeEndpoint, proxied: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    proxied.setenv(variable, proxy)
    responses, lost = asked(endpoint, requests_to(endpoint, 1))
    assert (len(responses), lost) == (1, [])


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ALL_PROXY", "socks5://me:secret@proxy:1080", "ALL_PROXY=socks5://proxy:1080 is a SOCKS proxy"),
        ("all_proxy", "socks5h://proxy:1080", "all_proxy=socks5h://proxy:1080 is a SOCKS proxy"),
        (
            "HTTPS_PROXY",
            "socks://me:secret@proxy:1080",
            "HTTPS_PROXY=socks://proxy:1080 is not a supported proxy",
        ),
        ("https_proxy", "ftp://proxy", "Correct or unset https_proxy"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY=http://proxy:port is not a supported proxy"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE=/nowhere/ca.pem cannot be used: No such file"),
        ("SSL_CERT_FILE", __file__, "it contains no certificates"),
        ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR=/nowhere cannot be used: No such file"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    proxied: pytest.MonkeyPatch, isolated: Path, variable: str, value: str, says: str
) -> None:
    proxied.setenv(variable, value)
    if value.startswith("socks5") and find_spec("socksio"):
        pytest.skip("SOCKS proxies can be used here: socksio is installed")
    for work in (
        lambda: listed_models(resolve_server(Workspace(isolated), "https://server.invalid/v1")),
        lambda: pull("me/faces", workspace=Workspace(isolated)),
    ):
        with pytest.raises(InputError) as error:
            work()
        assert says in str(error.value)
        assert "secret" not in str(error.value)
        assert len(str(error.value).splitlines()) == 2


def test_a_proxy_that_does_not_answer_is_named(proxied: pytest.MonkeyPatch, isolated: Path) -> None:
    port = unused_port()
    proxied.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(WorkError) as error:
        listed_models(resolve_server(Workspace(isolated), "http://server.invalid/v1"), retries=0)
    via = f"through the proxy HTTP_PROXY=http://127.0.0.1:{port}"
    assert str(error.value).startswith(f"no server at http://server.invalid/v1 (Connection refused), {via}\n")


def test_a_proxy_that_answers_itself_is_named(
    endpoint: FakeEndpoint, proxied: pytest.MonkeyPatch, isolated: Path
) -> None:
    proxied.setenv("HTTP_PROXY", endpoint.base_url.removesuffix("/v1"))
    endpoint.models_reply = Reply("<title>Blocked</title>", status=403)
    with pytest.raises(WorkError) as error:
        listed_models(resolve_server(Workspace(isolated), "http://server.invalid/v1"), retries=0)
    via = f"through the proxy HTTP_PROXY={endpoint.base_url.removesuffix('/v1')}"
    assert f'answers 403: an HTML page, "Blocked", {via}' in str(error.value)
    assert endpoint.paths == ["http://server.invalid/v1/models"]


def test_a_page_that_may_come_from_a_proxy_is_said_to_once(
    endpoint: FakeEndpoint, proxied: pytest.MonkeyPatch
) -> None:
    proxy = endpoint.base_url.removesuffix("/v1")
    proxied.setenv("HTTP_PROXY", proxy)
    endpoint.script = lambda body, earlier: Reply("<title>Please log in</title>")
    endpoint.base_url = "http://server.invalid/v1"
    watcher, lost = watched(endpoint, requests_to(endpoint, 3), concurrency=1)
    assert lost == []
    assert watcher.notes == [
        f"http://server.invalid/v1 returned an HTML page, through the proxy HTTP_PROXY={proxy}"
    ]


def test_a_server_without_tls_is_told_as_that(endpoint: FakeEndpoint, isolated: Path) -> None:
    url = endpoint.base_url.replace("http:", "https:")
    with pytest.raises(DferError) as error:
        listed_models(resolve_server(Workspace(isolated), url), retries=0)
    assert str(error.value).startswith(f"no TLS connection to {url} (")
    assert "not permitted" not in str(error.value)
