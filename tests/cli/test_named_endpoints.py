"""What a workspace from elsewhere can do with the user's keys: nothing, until the user allows it."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfer_prompts.api.inputs import open_dataset
from dfer_prompts.errors import InputError
from dfer_prompts.llm.confirmations import confirm, confirmations_file, is_confirmed
from dfer_prompts.workspace import Workspace

from ..prompts.endpoint import FakeEndpoint, serve
from .test_train import Terminal

KEY = "sk-verysecret-0123456789"
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
GENERATE = ("generate", "--classes", "dfew", "--samples", "1", "--top-k", "2")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    """A server, and secrets of all kinds in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", f"org-{KEY}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-secret: {KEY}\nauthorization: Bearer {KEY}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    with serve() as server:
        yield server


def elsewhere(server: FakeEndpoint) -> str:
    """An address of the same server that is not known to be loopback."""
    return server.base_url.replace("127.0.0.1", "0.0.0.0")


def write_defaults(base_url: str, folder: Path = Path()) -> None:
    (folder / "dfer.yaml").write_text(f"base_url: {base_url}\n", encoding="utf-8")


def secrets_at(server: FakeEndpoint) -> list[str]:
    """The secrets that arrived in any header."""
    return [
        value for headers in server.headers for value in headers.values() if KEY in value or TOKEN in value
    ]


def test_an_address_of_dfer_yaml_is_not_used_before_the_user_allows_it(
    endpoint: FakeEndpoint, run: Terminal, isolated: Path
) -> None:
    url = elsewhere(endpoint)
    write_defaults(url)
    _, err = run(*GENERATE, status=2)
    assert f"{isolated / 'dfer.yaml'} names the endpoint {url}" in err
    assert f"pass --base-url {url}" in err
    _, err = run("--workspace", isolated, *GENERATE, "--model", "tiny", status=2)
    assert "not confirmed" in err
    assert endpoint.paths == []


@pytest.mark.parametrize("command", [("doctor",), (*GENERATE, "--dry-run")], ids=["doctor", "dry-run"])
@pytest.mark.parametrize("place", ["loopback", "confirmed", "elsewhere"])
def test_looking_sends_no_secret_to_an_address_of_dfer_yaml(
    endpoint: FakeEndpoint, run: Terminal, isolated: Path, command: tuple[str, ...], place: str
) -> None:
    endpoint.api_key = KEY  # the server asks for a key
    url = endpoint.base_url if place == "loopback" else elsewhere(endpoint)
    write_defaults(url)
    if place == "confirmed":
        confirm(isolated, url)
    out, err = run(*command)
    assert endpoint.paths == ["/v1/models"] * len(endpoint.paths) != []
    assert secrets_at(endpoint) == []
    assert f"{url} requires a key, but only {isolated / 'dfer.yaml'} names it, so none is sent" in out + err
    assert "set OPENAI_API_KEY" not in out + err


def test_a_loopback_server_of_dfer_yaml_gets_the_key_only_when_it_asks(
    endpoint: FakeEndpoint, run: Terminal, isolated: Path
) -> None:
    write_defaults(endpoint.base_url)
    _, err = run(*GENERATE)
    assert len(endpoint.requests) == 7
    assert secrets_at(endpoint) == []
    assert "requests a key" not in err
    endpoint.api_key = KEY
    _, err = run(*GENERATE, "--seed", "9")
    assert len(endpoint.requests) >= 14
    assert set(secrets_at(endpoint)) == {f"Bearer {KEY}"}  # and no other header of the environment
    says = f"{endpoint.base_url}, which {isolated / 'dfer.yaml'} names, requests a key"
    assert err.count(says) == 1
    assert KEY not in err


@pytest.mark.parametrize("variable", [True, False])
def test_an_address_that_the_user_gives_gets_the_key(
    endpoint: FakeEndpoint, run: Terminal, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    write_defaults("http://another.invalid/v1")
    endpoint.api_key = KEY
    url = elsewhere(endpoint)
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
    if variable:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    run(*GENERATE, *(() if variable else ("--base-url", url)))
    assert len(endpoint.requests) == 7


def on_a_terminal(answer: bytes) -> tuple[int, bytes]:
    """The exit status of `generate` on a terminal where the user answers once, and what was shown."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "dfer_prompts", *GENERATE])
    shown, answered = b"", False
    while select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if b"[y/N]: " in shown and not answered:
            answered = True
            os.write(terminal, answer)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def test_a_confirmation_holds_for_one_address_in_one_workspace(
    endpoint: FakeEndpoint, run: Terminal, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
    monkeypatch.setenv("COLUMNS", "300")
    endpoint.api_key = KEY
    url = elsewhere(endpoint)
    write_defaults(url)
    status, shown = on_a_terminal(b"n\n")
    assert (status, endpoint.paths) == (2, [])
    status, shown = on_a_terminal(b"y\n")
    assert status == 0, shown
    assert f"{isolated / 'dfer.yaml'} names the endpoint {url}".encode() in shown
    assert len(endpoint.requests) == 7
    run(*GENERATE, "--seed", "9")  # elsewhere than on a terminal
    assert len(endpoint.requests) == 14
    assert isolated not in confirmations_file().parents

    write_defaults(f"{url}/other")
    run(*GENERATE, status=2)
    write_defaults(url, tmp_path)
    run("--workspace", tmp_path, *GENERATE, status=2)
    assert len(endpoint.requests) == 14


@pytest.mark.parametrize("content", ["", "[", "{}", "null", "[1, [], {}]", '"x"', "[" * 100_000, "\xff"])
def test_a_damaged_list_of_confirmations_confirms_nothing(isolated: Path, content: str) -> None:
    confirmations_file().parent.mkdir(parents=True)
    confirmations_file().write_text(content, encoding="latin-1")
    assert not is_confirmed(isolated, "http://a/v1")
    confirm(isolated, "http://a/v1")
    assert is_confirmed(isolated, "http://a/v1")
    assert not is_confirmed(isolated, "http://b/v1")


def test_a_workspace_cannot_bring_its_own_confirmations(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")  # a relative path would lie in the workspace
    planted = isolated / "config" / "dfer-prompts" / confirmations_file().name
    planted.parent.mkdir(parents=True)
    planted.write_text(json.dumps([{"workspace": str(isolated), "base_url": "http://a/v1"}]))
    assert not is_confirmed(isolated, "http://a/v1")
    assert confirmations_file().is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "url",
    ["sftp://127.0.0.1/clips", "ssh://h/clips", "smb://h/clips", "webhdfs://h/x", "simplecache::sftp://h/x"],
)
def test_clips_at_a_host_that_would_be_logged_in_to_are_the_users_to_name(isolated: Path, url: str) -> None:
    Path("dfer.yaml").write_text(f"datasets: {{far: '{url}'}}\n")
    with pytest.raises(InputError) as error:
        open_dataset(Workspace(isolated), "far")
    assert f"dfer.yaml names clips at {url}" in str(error.value)
    assert f"--dataset {url}" in str(error.value)
