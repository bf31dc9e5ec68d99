"""API keys are redacted in all output and files, in whatever encoding a server echoes them."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dfer_prompts.cli.app import main

from ..prompts.endpoint import FakeEndpoint, Reply, completion, serve

KEY = "sk-Very/Secret+0123456789&<abc>"
SPELLINGS = {
    "plain": KEY,
    "json": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "json twice": json.dumps(json.dumps(KEY).replace("/", "\\/")),
    "unicode": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "address": quote(KEY, safe=""),
    "html": KEY.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
}
ECHO = " ".join(SPELLINGS.values())
TRACES = (*SPELLINGS.values(), KEY[:12], SPELLINGS["base64"][4:16])


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    with serve() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        yield server


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """The exit status of `dfer-prompts --debug ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["dfer-prompts", "--debug", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def written() -> dict[str, str]:
    """All files below the current folder."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    return {str(path): path.read_text(encoding="utf-8", errors="replace") for path in files}


def assert_nowhere(texts: dict[str, str]) -> None:
    for place, text in texts.items():
        for trace in TRACES:
            assert trace not in text, f"{trace!r} in {place}"


RAW_JSON = json.dumps(completion("- a frown\n- narrow eyes\n- KEY")).replace("KEY", SPELLINGS["json"])
UNICODE_JSON = json.dumps(completion("- a frown\n- narrow eyes\n- KEY")).replace("KEY", SPELLINGS["unicode"])


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(completion(f"- a frown\n- narrow eyes\n- {ECHO}")), 0),
        (
            Reply(
                {**completion("- a frown\n- narrow eyes"), ECHO: {"headers": [ECHO]}}, headers={"x-key": KEY}
            ),
            0,
        ),
        (Reply(RAW_JSON), 0),
        (Reply(UNICODE_JSON), 0),
        (Reply(f"<html>{ECHO}</html>"), 1),
        (Reply(f'{{"choices": [{ECHO}'), 1),
        (Reply(completion(None, refusal=f"not for {ECHO}")), 1),
        (Reply(completion(f"sorry, I can't for {ECHO}")), 1),
        (Reply({"error": {"message": ECHO}}), 1),
        (Reply({"error": {"message": ECHO, "code": "content_filter"}}, status=400), 1),
        (Reply({"error": {"message": ECHO, "code": ECHO, "type": ECHO}}, status=400), 1),
        (Reply({"error": {"message": f"{'x ' * 90}{ECHO}"}}, status=400), 1),
        (Reply({"detail": ECHO}, status=422), 1),
        (Reply({"error": ECHO}, status=404), 1),
        (Reply({"error": {"message": ECHO}}, status=401), 1),
        (
            Reply(ECHO, status=500, headers={"retry-after-ms": "1", "x-should-retry": "false", "x-key": KEY}),
            1,
        ),
    ],
)
@pytest.mark.parametrize("template", ["paper", "asks-for-json"])
def test_an_echoed_key_is_written_nowhere(
    endpoint: FakeEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reply: Reply,
    status: int,
    template: str,
) -> None:
    Path("prompts").mkdir()
    matter = "name: asks-for-json\npurpose: x\nresponse_format: json_schema"
    Path("prompts/asks-for-json.md").write_text(f"---\n{matter}\n---\n{{{{ expression }}}}?")
    Path("two.yaml").write_text("name: two\nclasses:\n  - {name: fear}\n  - {name: anger}\n")
    endpoint.script = lambda body, earlier: reply
    arguments = ["--classes", "two.yaml", "--samples", "1", "--top-k", "2", "--template", template]
    assert run(monkeypatch, "generate", *arguments, "--concurrency", "1") in (status, None)
    out, err = capsys.readouterr()
    assert ("Traceback" in err) == bool(status)
    texts = {"standard output": out, "standard error": err, **written()}
    assert run(monkeypatch, "responses", "list", "--json") in (0, None)
    listed = capsys.readouterr().out
    for row in json.loads(listed):
        assert run(monkeypatch, "responses", "show", row["key"]) in (0, None)
    assert_nowhere({**texts, "listed": listed, "shown": capsys.readouterr().out})
    assert {f"Bearer {KEY}"} == set(endpoint.authorizations)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_do_not_carry_the_key(
    endpoint: FakeEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
) -> None:
    with serve() as elsewhere:
        address = {"location": f"{elsewhere.base_url}/models?{quote(KEY, safe='')}"}
        endpoint.script = lambda body, earlier: Reply({"at": ECHO}, status, address)
        endpoint.models_reply = Reply({"at": ECHO}, status, address)
        run(monkeypatch, "generate", "--classes", "dfew", "--samples", "1", "--top-k", "2")
        run(monkeypatch, "generate", "--classes", "dfew", "--samples", "1", "--top-k", "2", "--model", "tiny")
        assert elsewhere.paths
        assert set(elsewhere.authorizations) == {None}
    out, err = capsys.readouterr()
    assert_nowhere({"standard output": out, "standard error": err, **written()})


def test_a_model_list_with_the_key_is_redacted(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.models = [ECHO, KEY]
    assert run(monkeypatch, "generate", "--classes", "dfew") == 2
    out, err = capsys.readouterr()
    assert "[key]" in err
    assert_nowhere({"standard output": out, "standard error": err})


def test_a_key_in_the_base_url_is_refused(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{endpoint.base_url}/{quote(KEY, safe='')}"
    assert run(monkeypatch, "generate", "--classes", "dfew", "--base-url", url) == 2
    out, err = capsys.readouterr()
    assert "the base URL contains the key" in err
    assert_nowhere({"standard output": out, "standard error": err})


def test_an_unexpected_traceback_is_redacted(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--version")
    try:
        try:
            raise ValueError(f"{ECHO}\x1b[31m")
        except ValueError as cause:
            raise RuntimeError(f"Bearer {KEY}") from cause
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    err = capsys.readouterr().err
    assert "RuntimeError: Bearer [key]" in err
    assert "\x1b" not in err
    # The traceback quotes source lines, and this test's own do not spell the key.
    assert_nowhere({"standard error": err})
