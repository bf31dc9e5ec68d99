"""Which server and model are asked, and what a person reads who named none, or a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.errors import DferError, InputError, WorkError
from dfer_prompts.llm.endpoint import Endpoint, normal_url, resolve_endpoint
from dfer_prompts.workspace import Workspace

from ..endpoint import FakeEndpoint, Reply

LIST = "- raised eyebrows\n- parted lips"
KEY = "sk-verysecret-0123456789"


# ---------------------------------------------------------------- which endpoint, which model


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    return Workspace(isolated)


def test_a_key_alone_means_openai_and_the_default_model(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    endpoint = resolve_endpoint(workspace)
    assert endpoint == Endpoint("https://api.openai.com/v1", "gpt-6-luna", KEY)
    assert endpoint.sampling_defaults == {"reasoning_effort": "none"}
    assert resolve_endpoint(workspace, model="gpt-4.1").sampling_defaults == {}


def test_without_key_or_server_the_error_names_three_options(workspace: Workspace) -> None:
    with pytest.raises(InputError) as error:
        resolve_endpoint(workspace)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    for way in ("OPENAI_API_KEY", "ollama serve", "--base-url http://localhost:11434/v1", "--source facs"):
        assert way in str(error.value)


def test_openai_without_a_key_is_an_error_before_any_request(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        resolve_endpoint(workspace, base_url="https://api.openai.com/v1/")


def test_precedence_is_command_line_environment_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "dfer.yaml").write_text("base_url: http://localhost:1/v1\nmodel: of-the-file\n")
    assert resolve_endpoint(workspace) == Endpoint("http://localhost:1/v1", "of-the-file")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment:2/v1")
    assert resolve_endpoint(workspace).base_url == "http://environment:2/v1"
    given = resolve_endpoint(workspace, base_url="http://given:3/v1/", model="given")
    assert given == Endpoint("http://given:3/v1", "given")


def test_the_only_model_served_is_used(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    assert resolve_endpoint(workspace, base_url=endpoint.base_url).model == "tiny"


def test_several_models_are_listed_to_choose_from(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    endpoint.models = ["b", "a"]
    with pytest.raises(InputError) as error:
        resolve_endpoint(workspace, base_url=endpoint.base_url)
    assert str(error.value) == f"{endpoint.base_url} serves 2 models; choose with --model\nAvailable: a, b"
    endpoint.models = [f"m{i:03}" for i in range(300)]
    with pytest.raises(InputError, match="m011 and 288 more"):
        resolve_endpoint(workspace, base_url=endpoint.base_url)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply({"object": "list", "data": None}), "lists no models\nGive the model with --model"),
        (Reply({"error": {"message": "?"}}, status=404), "lists no models"),
        (Reply("<html></html>"), "lists no models"),
        (Reply(["a"]), "lists no models"),
        (Reply({"error": {"message": "who are you"}}, status=401), "requires a key: set OPENAI_API_KEY"),
    ],
)
def test_without_a_model_list_a_name_is_required(
    workspace: Workspace, endpoint: FakeEndpoint, reply: Reply, says: str
) -> None:
    endpoint.models_reply = reply
    with pytest.raises(DferError) as error:
        resolve_endpoint(workspace, base_url=endpoint.base_url)
    assert says in str(error.value)


def test_an_invalid_host_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(WorkError, match=r"no server at http://nowhere\.invalid/v1 \("):
        resolve_endpoint(workspace, base_url="http://nowhere.invalid/v1")


@pytest.mark.parametrize(
    "text",
    [
        "localhost:11434/v1",
        "ftp://x/v1",
        "http://",
        "x",
        "http://me:secret@h/v1",
        "http://h/v1?key=secret",
        "http://[::1/v1",
        "http://h:port/v1",
        "http://127.0.0.1\\.h/v1",
        "http://[::1]h/v1",
        "http://g\u200dood/v1",
        "http://\u0261ood/v1",
    ],
)
def test_an_invalid_base_url_is_an_error_without_secrets(text: str) -> None:
    with pytest.raises(InputError, match="base URL") as error:
        normal_url(text)
    assert "secret" not in str(error.value)


def test_a_key_with_white_space_is_neither_sent_nor_shown(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one sk-two")
    with pytest.raises(InputError, match="OPENAI_API_KEY") as error:
        resolve_endpoint(workspace)
    assert "sk-one" not in str(error.value)
