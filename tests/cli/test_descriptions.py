"""`dfer-prompts descriptions` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, Workspace, load
from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError

from ..prompts.drafts import draft


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["descriptions", *arguments], catch_exceptions=False)
    assert result.exit_code == status
    return result.stdout


@pytest.fixture
def saved(isolated: Path) -> Path:
    DescriptionStore(Workspace(isolated)).save(load("v1@2"), "short")
    return isolated / "descriptions" / "short"


def test_list_shows_source_and_place(saved: Path) -> None:
    rows = json.loads(invoke("list", "--json"))
    assert [(row["name"], row["from"], row["per_class"]) for row in rows] == [
        ("short", "workspace", "2"), ("v1", "shipped", "4"),
    ]  # fmt: skip
    assert rows[1] | {"source": "paper", "class_set": "mafw", "classes": 11, "problem": None} == rows[1]
    assert "short" in invoke("list")


def test_list_continues_after_an_unreadable_version(saved: Path) -> None:
    (saved / "manifest.yaml").write_text("[", encoding="utf-8")
    rows = json.loads(invoke("list", "--json"))
    assert "manifest.yaml is not valid YAML" in rows[0]["problem"]
    assert rows[1]["problem"] is None
    assert "v1" in invoke("list")


def test_show_gives_sentences_ranks_support_and_origin() -> None:
    shown = json.loads(invoke("show", "v1@2", "--json"))
    assert shown["name"] == "v1@2"
    assert shown["manifest"]["source"] == "paper"
    assert shown["sha256"] == load("v1@2").sha256
    assert shown["classes"][6] == {
        "class_name": "fear",
        "descriptions": ["raised eyebrows and parted lips."],
        "members": [
            [
                {"rank": 1, "descriptor": "raised eyebrows", "support": 1, "samples": 1, "wordings": []},
                {"rank": 2, "descriptor": "parted lips", "support": 1, "samples": 1, "wordings": []},
            ]
        ],
    }
    table = invoke("show", "v1@2")
    assert "raised eyebrows and parted lips." in table
    assert "paper" in table


def test_a_class_with_fewer_descriptors_is_noted(isolated: Path) -> None:
    members = {"fear": [["a", "b", "c"]], "anger": [["d"]]}
    DescriptionStore(Workspace(isolated)).save(draft(members), "uneven")
    assert json.loads(invoke("list", "--json"))[0]["per_class"] == "1-3"
    assert json.loads(invoke("show", "uneven", "--json"))["per_class"] == "1-3"
    assert "1-3" in invoke("show", "uneven")
    with pytest.raises(InputError, match=r"uneven has fewer than 3 descriptors of: anger \(1\)"):
        invoke("show", "uneven@3")


def test_verify_of_one_and_of_all(saved: Path) -> None:
    assert json.loads(invoke("verify", "--json")) == [
        {"name": "short", "problems": []}, {"name": "v1", "problems": []},
    ]  # fmt: skip
    (saved / "descriptors.jsonl").write_text("{}", encoding="utf-8")
    (row,) = json.loads(invoke("verify", "short", "--json", status=1))
    assert row["problems"] == [f"{saved / 'descriptors.jsonl'} has changed since the version was written"]
    assert "as written" in invoke("verify", status=1)
    assert "as written" in invoke("verify", "v1@2")


def test_typos_are_corrected() -> None:
    for command in ("show", "verify"):
        with pytest.raises(InputError, match=r"no description set 'v11'; did you mean v1\?"):
            invoke(command, "v11")
