"""`dfer-prompts prompts` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError
from dfer_prompts.resources import SHIPPED_TEMPLATES

PAPER = (
    "Q: What are useful visual features for the facial expression of anger?\n"
    "A: Some useful visual features for facial expressions of anger include: ...\n"
)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def write(name: str, text: str) -> None:
    path = Path("prompts") / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("class_name", ["anger", "Angry"])
def test_render_prints_what_the_paper_asked(class_name: str) -> None:
    assert invoke("prompts", "render", "paper", "--class", class_name) == PAPER


def test_render_takes_the_words_of_another_class_set() -> None:
    arguments = ("--class", "anger_disgust", "--classes", "mafw-compound")
    assert "expression of anger and disgust?" in invoke("prompts", "render", "paper", *arguments)


def test_the_list_names_every_template_and_where_it_is_from() -> None:
    write("mine", "---\nname: mine\npurpose: Of my own.\nsampling: {temperature: 0.0}\n---\n{{ expression }}")
    listed = json.loads(invoke("prompts", "list", "--json"))
    origins = {name: "shipped" for name in SHIPPED_TEMPLATES} | {"mine": "workspace"}
    assert [(row["name"], row["from"]) for row in listed] == sorted(origins.items())
    (mine,) = (row for row in listed if row["name"] == "mine")
    assert mine["purpose"] == "Of my own."
    assert mine["sampling"] == {"temperature": 0.0}
    table = invoke("prompts", "list")
    assert "mine" in table
    assert "Of my own." in table


def test_show_prints_the_file_without_what_a_terminal_would_obey() -> None:
    text = "---\nname: mine\npurpose: x\n---\n{{ expression }}\x1b[31m red\n"
    write("mine", text)
    assert invoke("prompts", "show", "mine") == text.replace("\x1b", "")


@pytest.mark.parametrize("arguments", [("show", "../mine"), ("render", "nope", "--class", "anger")])
def test_a_template_that_is_not_there_is_an_input_error(arguments: tuple[str, ...]) -> None:
    Path("mine.md").write_text("---\nname: mine\npurpose: x\n---\nsecret", encoding="utf-8")
    with pytest.raises(InputError, match="no template"):
        CliRunner().invoke(app, ["prompts", *arguments], catch_exceptions=False)


def test_a_class_that_is_not_there_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no class in mafw 'joyy'"):
        CliRunner().invoke(app, ["prompts", "render", "paper", "--class", "joyy"], catch_exceptions=False)
