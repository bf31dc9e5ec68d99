"""Addresses, proxies and certificates between `generate` and a server: messages name the variable."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from dfer_prompts.errors import DferError, InputError, WorkError
from dfer_prompts.llm.answers import Answer
from dfer_prompts.llm.endpoint import listed_models, normal_url, resolve_server
from dfer_prompts.versions.hub import pull
from dfer_prompts.workspace import Workspace

from ..client_requests import request_all, request_all_observed, requests_to
from ..endpoint import FakeEndpoint, Reply

LIST = "- raised eyebrows\n- parted lips"
READ = Answer(["raised eyebrows", "parted lips"])
KEY = "sk-verysecret-0123456789"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h:1/v1/chat/completions", "ends in /chat/completions, which is appended"),
        ("http://h:1/v1/chat/completions/", "Use http://h:1/v1"),
        ("https://h/openai/v1/completions", "Use https://h/openai/v1"),
        ("https://h/v1/responses", "ends in /responses"),
    ],
)
def test_the_url_of_a_request_is_not_a_base_url(url: str, says: str) -> None:
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
def test_a_loopback_server_is_requested_without_a_proxy(
    endpoint: FakeEndpoint, proxied: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    proxied.setenv(variable, proxy)
    responses, lost = request_all(endpoint, requests_to(endpoint, 1))
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
def test_an_invalid_proxy_variable_is_named(
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


def test_a_page_that_may_come_from_a_proxy_is_reported_once(
    endpoint: FakeEndpoint, proxied: pytest.MonkeyPatch
) -> None:
    proxy = endpoint.base_url.removesuffix("/v1")
    proxied.setenv("HTTP_PROXY", proxy)
    endpoint.script = lambda body, earlier: Reply("<title>Please log in</title>")
    endpoint.base_url = "http://server.invalid/v1"
    watcher, lost = request_all_observed(endpoint, requests_to(endpoint, 3), concurrency=1)
    assert lost == []
    assert watcher.notes == [
        f"http://server.invalid/v1 returned an HTML page, through the proxy HTTP_PROXY={proxy}"
    ]


def test_a_server_without_tls_is_reported(endpoint: FakeEndpoint, isolated: Path) -> None:
    url = endpoint.base_url.replace("http:", "https:")
    with pytest.raises(DferError) as error:
        listed_models(resolve_server(Workspace(isolated), url), retries=0)
    assert str(error.value).startswith(f"no TLS connection to {url} (")
    assert "not permitted" not in str(error.value)
