"""`generate --model demo`: the demo language model, served by a process of its own while it is asked."""

from __future__ import annotations

import io
import json
from pathlib import Path

import openai
import pytest

from dfer_prompts.classes import load_class_set
from dfer_prompts.cli.llm_progress import confirmed_url
from dfer_prompts.llm.confirmations import is_confirmed
from dfer_prompts.llm.demo_server import reachable
from dfer_prompts.llm.endpoint import Endpoint, resolve_endpoint
from dfer_prompts.parsing import parse_answer
from dfer_prompts.templates import load_template
from dfer_prompts.workspace import SHIPPED_TEMPLATES, Workspace

from ..prompts.endpoint import serve
from .test_generate import run

SENTENCE = "demo language model, trained on generated text; for trying the tool"
MAFW = load_class_set("mafw")


@pytest.fixture(scope="module")
def client() -> openai.OpenAI:
    """A client of one server for all tests of this module."""
    with reachable(resolve_endpoint(Workspace(Path()), model="demo")) as endpoint:
        assert endpoint.address
        yield openai.OpenAI(base_url=endpoint.address, api_key="none", max_retries=0)


def asked(
    client: openai.OpenAI, template: str = "paper", number: int = 0, **options: object
) -> openai.types.chat.ChatCompletion:
    messages = load_template(template, Workspace(Path())).messages(MAFW.classes[number], MAFW)
    return client.chat.completions.create(model="demo", messages=messages, **options)


def text(completion: openai.types.chat.ChatCompletion, number: int = 0) -> str:
    return completion.choices[number].message.content or ""


def test_a_version_of_the_demo_model_says_what_it_is_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serve() as configured:
        out, err = run(configured, "--classes", "mafw", "--model", "demo", "--version", "v2", "--json")
        assert configured.paths == []  # the demo model is never the configured server
    made = json.loads(out)
    assert (made["asked"], made["base_url"]) == (55, "demo://localhost/v1")
    assert SENTENCE in made["model"]
    assert SENTENCE in err
    assert made["tokens"]["completion"] > 55 * 20
    assert SENTENCE in (tmp_path / "descriptions" / "v2" / "README.md").read_text(encoding="utf-8")
    assert {len(each) for each in made["classes"].values()} == {6}
    for name, part in (
        ("happiness", "lip corners"),
        ("anger", "brow"),
        ("surprise", "jaw"),
        ("disgust", "nose"),
    ):
        assert any(part in each for each in made["classes"][name]), (name, made["classes"][name])
    out, _ = run(None, "--classes", "mafw", "--model", "demo", "--version", "v3", "--json")
    again = json.loads(out)
    assert made["failed"] == 0
    assert (again["asked"], again["found"]) == (0, 55)
    assert again["classes"] == made["classes"]


def test_a_truncated_answer_of_the_demo_model_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--classes", "dfew", "--model", "demo", "--samples", "1", "--max-tokens", "3")
    _, err = run(None, *words, status=1)
    assert "7 responses had no usable answer: truncated (finish_reason: length" in err


def test_a_base_url_is_asked_for_its_own_model_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serve() as server:
        server.models = ["demo"]
        words = ("--classes", "dfew", "--samples", "1", "--model", "demo", "--base-url", server.base_url)
        out, err = run(None, *words, "--json")
        assert len(server.requests) == 7
    assert json.loads(out)["model"] == "demo"
    assert SENTENCE not in err


class TerminalText(io.StringIO):
    """A text that is taken for a terminal."""

    def isatty(self) -> bool:
        return True


def test_only_other_models_need_the_confirmation_of_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "dfer.yaml").write_text("base_url: http://far.example/v1\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", TerminalText("y\n"))
    monkeypatch.setattr("sys.stderr", TerminalText())
    assert confirmed_url(workspace, None, ["demo", "demo"]) is None
    assert not is_confirmed(tmp_path, "http://far.example/v1")
    # With the address in place of None, the model demo would be that server's.
    assert confirmed_url(workspace, None, ["demo", "tiny"]) is None
    assert is_confirmed(tmp_path, "http://far.example/v1")


def test_the_server_ends_with_the_block() -> None:
    with reachable(resolve_endpoint(Workspace(Path()), model="demo")) as endpoint:
        gone = openai.OpenAI(base_url=endpoint.address, api_key="none", max_retries=0)
        assert [each.id for each in gone.models.list()] == ["demo"]
    with pytest.raises(openai.APIConnectionError):
        gone.models.list()


def test_other_endpoints_are_reached_at_their_base_url() -> None:
    other = Endpoint("http://localhost:1/v1", "tiny")
    with reachable(other) as endpoint:
        assert endpoint is other


def test_a_seed_repeats_an_answer_and_n_counts_seeds_up(client: openai.OpenAI) -> None:
    first, second = (text(asked(client, seed=seed, temperature=1.0)) for seed in (7, 8))
    both = asked(client, seed=7, temperature=1.0, n=2)
    assert first != second
    assert [text(both, i) for i in range(2)] == [first, second]
    assert both.choices[0].finish_reason == "stop"


def test_temperature_zero_and_a_tiny_top_p_take_the_most_probable_words(client: openai.OpenAI) -> None:
    greedy = text(asked(client, temperature=0.0, seed=1))
    assert text(asked(client, temperature=0.0, seed=2)) == greedy
    assert text(asked(client, temperature=1.0, top_p=1e-9, seed=3)) == greedy


def test_max_tokens_cuts_an_answer_and_usage_counts_its_words(client: openai.OpenAI) -> None:
    whole, cut = (asked(client, seed=1, max_tokens=limit) for limit in (400, 5))
    assert text(whole).startswith(text(cut))
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert whole.usage is not None
    assert cut.usage.completion_tokens == 5
    assert cut.usage.total_tokens == cut.usage.prompt_tokens + 5
    assert whole.usage.completion_tokens > 20


# The others ask about images, or for edits of a set.
@pytest.mark.parametrize(
    "template", sorted(set(SHIPPED_TEMPLATES) - {"optimize", "frames", "frames-contrast"})
)
def test_the_demo_model_answers_every_shipped_template_with_descriptors(
    template: str, client: openai.OpenAI
) -> None:
    answer = text(asked(client, template, number=3, seed=1, temperature=0.5))
    assert len(parse_answer(answer, "anger")) >= 5, answer


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"model": "tiny"}, 404, "the only model is 'demo'"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format json_object is not supported"),
        ({"temperature": 3}, 400, "temperature"),
        ({"messages": []}, 400, "messages"),
        ({"stream": True}, 400, "stream"),
    ],
)
def test_what_the_server_does_not_support_is_refused(
    options: dict[str, object], status: int, says: str, client: openai.OpenAI
) -> None:
    request = {"model": "demo", "messages": [{"role": "user", "content": "x"}], **options}
    with pytest.raises(openai.APIStatusError, match=says) as error:
        client.chat.completions.create(**request)
    assert error.value.status_code == status
