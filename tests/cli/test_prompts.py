"""`dfer-prompts prompts` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError
from dfer_prompts.workspace import SHIPPED_TEMPLATES

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
    origins = dict.fromkeys(SHIPPED_TEMPLATES, "shipped") | {"mine": "workspace"}
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
    with pytest.raises(InputError, match="no class 'joyy' in mafw"):
        CliRunner().invoke(app, ["prompts", "render", "paper", "--class", "joyy"], catch_exceptions=False)


def test_one_broken_file_does_not_hide_the_other_templates() -> None:
    write("notes", "Remember the milk.")
    write("bad", "---\nname: bad\npurpose: x\nsampling: {temperature: 9}\n---\nhi")
    result = CliRunner().invoke(app, ["prompts", "list", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert [row["name"] for row in json.loads(result.stdout)] == sorted(SHIPPED_TEMPLATES)
    assert "notes.md: no front matter" in result.stderr
    assert "bad.md, line 4: sampling, temperature" in result.stderr


def test_the_list_shows_the_form_of_answer() -> None:
    listed = json.loads(invoke("prompts", "list", "--json"))
    assert {row["name"] for row in listed if row["response_format"] == "json_schema"} == {"structured"}
    assert all(row["source"] and row["sampling"] for row in listed)


def test_without_a_class_every_class_is_rendered_under_its_name() -> None:
    write("mine", "---\nname: mine\npurpose: x\n---\nA face of {{ expression }}?")
    printed = invoke("prompts", "render", "mine", "--classes", "dfew")
    assert printed.startswith("[happiness]\nA face of happiness?\n\n[sadness]\nA face of sadness?\n")
    rows = json.loads(invoke("prompts", "render", "mine", "--classes", "dfew", "--json"))
    assert [row["class_name"] for row in rows][-2:] == ["disgust", "fear"]
    assert rows[-1]["messages"] == [{"role": "user", "content": "A face of fear?"}]


def test_one_of_ones_own_overrides_what_is_shipped() -> None:
    write("paper", "---\nname: paper\npurpose: x\n---\nMine: {{ expression }}")
    assert invoke("prompts", "render", "paper", "--class", "anger") == "Mine: anger\n"
    (row,) = (row for row in json.loads(invoke("prompts", "list", "--json")) if row["name"] == "paper")
    assert row["from"] == "workspace"


def test_check_finds_nothing_in_what_is_shipped() -> None:
    result = CliRunner().invoke(app, ["prompts", "check", "--strict"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "templates: 10, classes of mafw: 11, errors: 0, warnings: 0, notes: 0\n"


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        ("{{ nope }}", (), 1),
        ("What?", (), 1),
        ("{{ expression }}{% if expression == 'x' %}{{ nope }}{% endif %}", (), 0),
        ("{{ expression }}{% if expression == 'x' %}{{ nope }}{% endif %}", ("--strict",), 1),
        ("{{ expression }} as JSON", ("--strict",), 0),
    ],
)
def test_checks_exit_status_is_what_it_found(body: str, options: tuple[str, ...], status: int) -> None:
    write("mine", f"---\nname: mine\npurpose: x\n---\n{body}")
    result = CliRunner().invoke(app, ["prompts", "check", *options], catch_exceptions=False)
    assert result.exit_code == status


def test_check_tells_the_template_the_line_and_the_classes() -> None:
    write("mine", "---\nname: mine\npurpose: x\nsource: me\n---\n\n{{ nope }}")
    told = CliRunner().invoke(
        app, ["prompts", "check", "mine", "paper", "--classes", "dfew", "--json"], catch_exceptions=False
    )
    report = json.loads(told.stdout)
    assert (told.exit_code, report["class_set"], report["errors"], report["warnings"]) == (1, "dfew", 1, 0)
    mine, paper = report["templates"]
    assert paper == {"template": "paper", "findings": []}
    (finding,) = mine["findings"]
    assert (finding["rule"], finding["line"], len(finding["class_names"])) == ("fault", 7, 7)
    table = CliRunner().invoke(app, ["prompts", "check", "mine"], catch_exceptions=False).stdout
    assert "'nope'" in table


def test_check_of_a_name_that_is_not_there_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no template 'papr'; did you mean paper"):
        CliRunner().invoke(app, ["prompts", "check", "papr"], catch_exceptions=False)
