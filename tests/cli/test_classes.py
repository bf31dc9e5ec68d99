"""`dfer-prompts classes` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["classes", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_names_the_sets_and_their_sizes() -> None:
    listed = json.loads(invoke("list", "--json"))
    sizes = {"dfew": 7, "ferv39k": 7, "mafw": 11, "mafw-compound": 43}
    assert {row["name"]: row["classes"] for row in listed} == sizes
    assert "mafw-compound" in invoke("list")


def test_show_gives_labels_words_and_aliases() -> None:
    shown = json.loads(invoke("show", "mafw-compound", "--json"))
    assert shown["name"] == "mafw-compound"
    assert shown["classes"][3]["name"] == "anger"
    assert "angry" in shown["classes"][3]["aliases"]
    twelfth = {"label": 12, "name": "anger_disgust", "words": "anger and disgust", "aliases": []}
    assert shown["classes"][12] == twelfth
    assert "helplessness" in invoke("show", "mafw")


def test_show_reads_an_own_file_and_prints_no_markup() -> None:
    Path("mine.yaml").write_text('name: mine\nclasses: ["[red]joy", calm]', encoding="utf-8")
    assert "[red]joy" in invoke("show", "mine.yaml")


def test_a_typo_is_corrected() -> None:
    with pytest.raises(InputError, match=r"did you mean dfew\?"):
        invoke("show", "dfwe")
