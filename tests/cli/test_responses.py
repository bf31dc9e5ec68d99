"""`dfer-prompts responses`: what is stored, and what is read in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.classes import load_class_set
from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError
from dfer_prompts.generation.plan import RequestOptions, plan_for
from dfer_prompts.generation.run import ask_and_rank
from dfer_prompts.llm.endpoint import Endpoint
from dfer_prompts.llm.response_cache import ResponseStore
from dfer_prompts.templates import load_template
from dfer_prompts.workspace import Workspace

from ..prompts.endpoint import Reply, completion, serve

STORE = Path(".dfer/responses")


@pytest.fixture
def base_url(isolated: Path) -> str:
    """A store of 14 answers; of fear one is a refusal and one full of what a terminal obeys."""
    texts = {
        1: Reply(completion(None, refusal="no \x1b[31mfaces")),
        2: Reply(completion("- a \x1b]0;x\x07frown")),
    }
    with serve() as server:
        server.script = lambda body, earlier: (
            texts[body["seed"]] if "of fear?" in body["messages"][0]["content"] else None
        )
        workspace = Workspace(isolated)
        plan = plan_for(
            load_class_set("dfew"),
            load_template("paper", workspace),
            Endpoint(server.base_url, "tiny"),
            RequestOptions(samples=2, top_k=1),
        )
        ask_and_rank(plan, ResponseStore(workspace.responses))
        return server.base_url


def run(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["responses", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_the_list_has_prompt_and_reading_of_each_answer(base_url: str) -> None:
    rows = json.loads(run("list", "--json")[0])
    assert len(rows) == 14
    assert {row["key"] for row in rows} == {path.stem for path in STORE.glob("*.json")}
    assert {(row["model"], row["base_url"], row["template"]) for row in rows} == {("tiny", base_url, "paper")}
    fear = {row["sample"]: row for row in rows if row["class_name"] == "fear"}
    assert (fear[0]["reading"], fear[0]["failure"]) == (None, "refused (no [31mfaces)")
    assert (fear[1]["reading"], fear[1]["failure"]) == ("text", None)
    assert fear[1]["tokens"] == {"prompt": 40, "completion": 20}
    table, _ = run("list")
    assert "Stored answers (14)" in table


def test_the_list_can_be_of_one_model_or_of_some_prompts(base_url: str) -> None:
    assert len(json.loads(run("list", "--json", "--containing", "EXPRESSION of fear")[0])) == 2
    assert len(json.loads(run("list", "--json", "--model", "tiny")[0])) == 14
    assert json.loads(run("list", "--json", "--model", "large")[0]) == []


def test_one_answer_is_shown_with_prompt_settings_text_and_descriptors(base_url: str) -> None:
    rows = json.loads(run("list", "--json")[0])
    key = next(row["key"] for row in rows if (row["class_name"], row["sample"]) == ("fear", 1))
    out, _ = run("show", key[:10])
    assert "\x1b" not in out
    assert "\x07" not in out
    for part in (key, "tiny at", "temperature 0.7", "seed 2", "of fear?", "Read as text", "40 + 20"):
        assert part in out
    shown = json.loads(run("show", key, "--json")[0])
    assert shown["content"] == "- a \x1b]0;x\x07frown"  # verbatim; JSON escapes it
    assert shown["descriptors"] == ["a frown"]


def test_a_damaged_file_is_named_and_the_others_are_listed(base_url: str) -> None:
    damaged = sorted(STORE.glob("*.json"))[:3]
    damaged[0].write_text("{")
    damaged[1].write_text(damaged[2].read_text())
    for path, text in {damaged[2]: '{"request": {"model": 1}, "response": 2}'}.items():
        path.rename(path.with_name(f"{ResponseStore.key(json.loads(text)['request'])}.json")).write_text(text)
    out, err = run("list", "--json")
    assert len(json.loads(out)) == 11
    assert "(not JSON)" in err
    assert "its content does not match its name" in err
    assert "its request has an unknown format" in err
    assert damaged[0].name in err.replace("\n", "")
    with pytest.raises(InputError, match="is damaged"):
        CliRunner().invoke(app, ["responses", "show", damaged[0].stem], catch_exceptions=False)


@pytest.mark.parametrize("key", ["zzz", "", "../../x"])
def test_an_unknown_key_is_an_error(base_url: str, key: str) -> None:
    with pytest.raises(InputError, match="no stored answer"):
        CliRunner().invoke(app, ["responses", "show", key], catch_exceptions=False)


def test_an_empty_store_lists_nothing(isolated: Path) -> None:
    assert json.loads(run("list", "--json")[0]) == []
