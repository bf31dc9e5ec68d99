"""`dfer-prompts generate`, against a real HTTP server; where it is killed, as a program of its own."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from dfer_prompts.cli.app import app, main
from dfer_prompts.errors import InputError

from ..prompts.endpoint import FakeEndpoint, Reply, completion, serve

KEY = "sk-verysecret-0123456789"


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as server:
        yield server


def environment(server: FakeEndpoint | None, key: str | None) -> dict[str, str]:
    required = {"NO_PROXY": "127.0.0.1", "COLUMNS": "200"}
    if server:
        required["OPENAI_BASE_URL"] = server.base_url
    if key:
        required["OPENAI_API_KEY"] = key
    return {**os.environ, **required}


def start(server: FakeEndpoint | None, *arguments: str, key: str | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dfer_prompts", "generate", *arguments],
        env=environment(server, key),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    server: FakeEndpoint | None, *arguments: str, key: str | None = None, status: int = 0
) -> tuple[str, str]:
    """Standard output and standard error of a run inside this process, which is quicker, that ends so."""
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        for name, value in environment(server, key).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["dfer-prompts", "generate", *arguments])
        patch.setattr(sys, "excepthook", sys.excepthook)
        with pytest.raises(SystemExit) as end:
            main()
    assert (end.value.code or 0) == status, err.getvalue()
    assert "Traceback" not in err.getvalue()
    return out.getvalue(), err.getvalue()


def refused(*arguments: str) -> str:
    """What is wrong with the input, asked of the command inside this process, which is quicker."""
    with pytest.raises(InputError) as error:
        CliRunner().invoke(app, ["generate", *arguments], catch_exceptions=False)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def rows(version: str) -> list[dict[str, Any]]:
    lines = Path("descriptions", version, "descriptors.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def manifest(version: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path("descriptions", version, "manifest.yaml").read_text())
    return loaded


def holds(text: str) -> list[Path]:
    """The files below the current folder in which the text stands, in whatever form."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


def error_of(err: str) -> str:
    """The error on standard error, which is one or two lines."""
    text = err[err.index("Error: ") :].rstrip("\n")
    assert len(text.splitlines()) <= 2
    return text


def test_generate_for_mafw_alone_does_the_right_thing(endpoint: FakeEndpoint) -> None:
    out, err = run(endpoint, "--classes", "mafw")
    assert len(endpoint.requests) == 55
    assert {body["model"] for body in endpoint.requests} == {"tiny"}
    assert len(rows("v2")) == 11 * 6
    assert "disappointment" in out
    assert "Requested 55, found stored 0, failed 0, retried 0; 2200 + 1100 tokens" in err
    assert "dfer-prompts descriptions show v2" in err
    assert len(Path("descriptions/v2/responses.jsonl").read_text().splitlines()) == 55
    assert "55/55" in err


def test_json_alone_stands_on_standard_output(endpoint: FakeEndpoint) -> None:
    out, _ = run(endpoint, "--classes", "dfew", "--samples", "2", "--top-k", "3", "--json")
    output = json.loads(out)
    assert (output["version"], output["asked"], output["found"], output["failed"]) == ("v2", 14, 0, 0)
    assert output["tokens"] == {"prompt": 14 * 40, "completion": 14 * 20}
    assert [len(each) for each in output["classes"].values()] == [3] * 7
    assert output["classes"]["fear"] == [
        row["descriptor"] for row in rows("v2") if row["class_name"] == "fear"
    ]


def test_killed_in_the_middle_it_asks_again_for_nothing_that_had_arrived(
    endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    endpoint.latency = 0.15
    stored = Path(".dfer/responses")
    process = start(endpoint, "--classes", "mafw")
    while len(list(stored.glob("*.json"))) < 20:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    record = [json.loads(path.read_text())["request"] for path in stored.glob("*.json")]
    assert 20 <= len(record) < 55
    assert not Path("descriptions").exists()

    endpoint.requests.clear()
    endpoint.latency = 0.0
    _, err = run(endpoint, "--classes", "mafw")
    asked_again = {(body["messages"][0]["content"], body["seed"]) for body in endpoint.requests}
    had_arrived = {(each["messages"][0]["content"], each["sampling"]["seed"]) for each in record}
    assert asked_again & had_arrived == set()
    assert len(endpoint.requests) == 55 - len(record)
    assert f"Requested {55 - len(record)}, found stored {len(record)}" in err

    disturbed = Path("descriptions/v2/descriptors.jsonl").read_bytes()
    os.chdir(tmp_path)
    run(endpoint, "--classes", "mafw")
    assert Path("descriptions/v2/descriptors.jsonl").read_bytes() == disturbed


def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(endpoint: FakeEndpoint) -> None:
    endpoint.latency = 0.15
    process = start(endpoint, "--classes", "mafw")
    while len(endpoint.answered) < 16:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    stored = len(list(Path(".dfer/responses").glob("*.json")))
    assert f"{stored} of 55 answers are stored; run the same command again" in err
    endpoint.latency = 0.0
    _, err = run(endpoint, "--classes", "mafw")
    assert f"Requested {55 - stored}, found stored {stored}" in err


def test_failures_are_reported_and_kept_in_the_manifest(endpoint: FakeEndpoint) -> None:
    replies = {
        1: Reply(completion("- raised", finish="length")),
        2: Reply(completion(None, refusal="I will not.")),
        3: Reply("<html>\x1b[31mteapot</html>"),
    }
    endpoint.script = lambda body, earlier: (
        replies.get(body["seed"]) if "of fear?" in body["messages"][0]["content"] else None
    )
    _, err = run(endpoint, "--classes", "dfew")
    assert "failed 3" in err
    assert "fear, sample 0: truncated (finish_reason: length; raise --max-tokens)" in err
    reasons = [(each["class_name"], each["reason"]) for each in manifest("v2")["failures"]]
    assert reasons == [("fear", "truncated"), ("fear", "refused"), ("fear", "malformed")]


def test_a_short_class_is_an_error_and_allow_short_goes_on_without_asking(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(completion("- raised brows\n- wide eyes"))
    arguments = ("--classes", "dfew", "--samples", "1")
    _, err = run(endpoint, *arguments, status=1)
    assert "fewer than 6 descriptors: happiness has 2, sadness has 2" in error_of(err)
    assert not Path("descriptions").exists()
    endpoint.requests.clear()
    run(endpoint, *arguments, "--allow-short")
    assert endpoint.requests == []
    assert len(rows("v2")) == 14


def test_the_key_is_in_no_file_and_no_output(endpoint: FakeEndpoint) -> None:
    endpoint.api_key = KEY
    endpoint.script = lambda body, earlier: Reply(completion(f"- raised brows\n- {KEY}\n- wide eyes"))
    arguments = ("--classes", "dfew", "--samples", "1", "--top-k", "2")
    out, err = run(endpoint, *arguments, key=KEY)
    assert KEY not in out + err
    assert holds(KEY) == []
    assert holds("raised brows") != []


@pytest.mark.parametrize("key", [None, KEY])
def test_a_refused_key_is_a_sentence_without_it(endpoint: FakeEndpoint, key: str | None) -> None:
    endpoint.api_key = "sk-another"
    out, err = run(endpoint, "--classes", "dfew", "--model", "tiny", key=key, status=1)
    assert "OPENAI_API_KEY" in error_of(err)
    assert KEY not in out + err
    assert "0 of 35 answers are stored" in err


def test_an_unknown_model_is_answered_with_those_there_are(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: Reply(
        {"error": {"message": "model 'nope' not found", "code": "model_not_found"}}, status=404
    )
    _, err = run(endpoint, "--classes", "dfew", "--model", "nope", status=2)
    assert error_of(err) == f"Error: {endpoint.base_url} does not know the model 'nope'\nAvailable: tiny"


def test_nobody_there_is_a_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    _, err = run(None, "--classes", "dfew", "--base-url", url, "--model", "tiny", status=1)
    assert f"no server at {url} (Connection refused)" in error_of(err)


def test_with_neither_key_nor_server_two_lines_name_the_three_ways() -> None:
    _, err = run(None, "--classes", "mafw", status=2)
    text = error_of(err)
    assert len(text.splitlines()) == 2
    assert "OPENAI_API_KEY" in text
    assert "ollama serve" in text
    assert "--source facs" in text


def test_an_existing_version_is_refused_before_anything_is_asked(endpoint: FakeEndpoint) -> None:
    for name in ("v1", "V1", "../x", ".hidden"):
        says = refused("--classes", "dfew", "--version", name, "--base-url", endpoint.base_url)
        assert name.casefold() in says.casefold()
    assert endpoint.paths == []


def test_a_dry_run_shows_the_prompts_and_asks_nothing(endpoint: FakeEndpoint) -> None:
    arguments = ("--classes", "dfew", "--samples", "2")
    out, err = run(endpoint, *arguments, "--dry-run")
    assert "What are useful visual features for the facial expression of happiness?" in out
    assert "14 requests (7 classes x 2); already answered: 0" in err
    assert endpoint.requests == []
    run(endpoint, *arguments, "--samples", "1")
    output = json.loads(run(endpoint, *arguments, "--dry-run", "--json")[0])
    assert (output["requests"], output["answered"]) == (14, 7)
    assert list(output["prompts"]) == [
        "happiness",
        "sadness",
        "neutral",
        "anger",
        "surprise",
        "disgust",
        "fear",
    ]


def test_a_dry_run_tells_the_cost_where_prices_are_known(endpoint: FakeEndpoint) -> None:
    Path("dfer.yaml").write_text("prices:\n  tiny: {prompt: 1, completion: 10}\n")
    arguments = ("--classes", "dfew", "--samples", "2", "--max-tokens", "100")
    _, err = run(endpoint, *arguments, "--dry-run")
    assert "estimated with 4 characters per token" in err
    assert "at most 1400 of answers" in err
    # 14 prompts of 35 to 37 tokens at 1, and 1400 tokens at 10 dollars a million
    assert "cost: at most 0.0145 USD" in err
    run(endpoint, *arguments, "--samples", "1", "--top-k", "2")
    output = json.loads(run(endpoint, *arguments, "--dry-run", "--json")[0])
    assert (output["to_ask"], output["prompt_tokens"], output["likely_completion_tokens"]) == (7, 280, 140)
    _, err = run(endpoint, *arguments)
    assert "Requested 7, found stored 7, failed 0, retried 0; 280 + 140 tokens, 0.0017 USD" in err
    _, err = run(endpoint, *arguments, "--dry-run")
    assert "all answers are stored" in err


def test_several_templates_make_a_version_each_or_one_ensemble(endpoint: FakeEndpoint) -> None:
    Path("prompts").mkdir()
    Path("prompts/own.md").write_text("---\nname: own\npurpose: x\n---\n{{ expression }}?")
    both = ("--classes", "dfew", "--samples", "1", "--template", "paper", "--template", "own", "--top-k", "3")
    output = json.loads(run(endpoint, *both, "--json")[0])
    assert [(each["version"], each["template"], each["asked"]) for each in output] == [
        ("v2", "paper", 7),
        ("v3", "own", 7),
    ]
    assert "--ensemble" in refused(*both, "--version", "x", "--base-url", endpoint.base_url)
    run(endpoint, *both, "--ensemble", "--version", "both")
    assert len(endpoint.requests) == 14
    assert {row["member"] for row in rows("both")} == {0, 1}
    assert [each["template"] for each in manifest("both")["derivation"]["members"]] == ["paper", "own"]


def test_a_budget_stops_with_a_sentence_and_the_same_command_goes_on(endpoint: FakeEndpoint) -> None:
    arguments = ("--classes", "dfew", "--samples", "2")
    _, err = run(endpoint, *arguments, "--max-requests", "5", status=1)
    assert error_of(err) == (
        "Error: stopped after 5 requests: --max-requests is reached\n"
        "5 of 14 answers are stored; run the same command again to request the rest"
    )
    assert "Until then: 5 requested, 0 stored, 0 failed, 0 retried, 200 + 100 tokens" in err
    assert not Path("descriptions").exists()
    run(endpoint, *arguments)
    assert len(endpoint.requests) == 14


def test_while_all_requests_are_tried_again_it_says_so(endpoint: FakeEndpoint) -> None:
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": "slow down"}}, status=429) if earlier < 2 else None
    )
    _, err = run(endpoint, "--classes", "dfew", "--samples", "1")
    assert "0/7 answers, 0 requested, 0 stored, 0 failed, 1 retried, 0 + 0 tokens; retrying" in err
    assert "Requested 7, found stored 0, failed 0, retried 14; 280 + 140 tokens" in err


def test_a_dry_run_needs_no_endpoint() -> None:
    out, err = run(None, "--classes", "dfew", "--dry-run")
    assert "expression of fear?" in out
    assert "already answered: unknown" in err


def test_a_dry_run_says_once_what_is_wrong_in_dfer_yaml() -> None:
    Path("dfer.yaml").write_text("modle: llama3\n")
    assert refused("--classes", "dfew", "--dry-run").count("modle") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--classes", "mawf"), "did you mean mafw"),
        ((), "--classes"),
        (("--classes", "dfew", "--template", "papr"), "did you mean paper"),
        (("--classes", "dfew", "--source", "oracle"), "no source 'oracle'"),
        (("--classes", "dfew", "--source", "control:nope"), "no control 'nope'"),
        (("--classes", "mafw-compound", "--source", "control:swapped"), "has no description of"),
        (("--classes", "dfew", "--of", "v1"), "--source control:NAME --of v1"),
        (("--classes", "dfew", "--source", "facs", "--of", "v1"), "--source control:NAME --of v1"),
        (("--classes", "dfew", "--source", "facs", "--template", "paper"), "facs uses no language model"),
        (("--classes", "dfew", "--source", "facs", "--ensemble"), "facs uses no language model"),
        (("--classes", "dfew", "--temperature", "9"), "temperature"),
        (("--classes", "dfew", "--base-url", "localhost:11434"), "not a base URL"),
    ],
)
def test_wrong_input_is_a_sentence(endpoint: FakeEndpoint, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused("--base-url", endpoint.base_url, *arguments)
    assert endpoint.requests == []


def test_facs_and_controls_need_no_endpoint() -> None:
    out, err = run(None, "--classes", "mafw", "--source", "facs")
    assert manifest("v2")["source"] == "facs"
    assert len({row["class_name"] for row in rows("v2")}) == 11
    assert "disappointment" in out
    assert "descriptions show v2" in err
    run(None, "--source", "control:swapped", "--of", "v2", "--version", "swapped")
    assert manifest("swapped")["control"] == "swapped"
    assert manifest("swapped")["parents"] == ["v2"]
    run(None, "--source", "control:scrambled", "--classes", "dfew", "--seed", "4")
    assert manifest("v3")["class_set"]["class_names"][-1] == "fear"
    assert manifest("v3")["derivation"]["seed"] == 4
    assert len(rows("v3")) == 7 * 4
