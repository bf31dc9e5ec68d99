"""`dfer-prompts descriptions check`: table, JSON and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, InputError, Workspace
from dfer_prompts.cli.app import app

from ..prompts.drafts import draft


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["descriptions", "check", *arguments], catch_exceptions=False
    )
    assert result.exit_code == status
    return result.stdout


@pytest.fixture(autouse=True)
def saved(isolated: Path) -> None:
    members = {
        "fear": [
            ["raised eyebrows", "a scared [b]look"],
            ["pale cheeks", "wet lashes"],
        ],
        "anger": [["lowered eyebrows", "flared nostrils"], ["thin lips", "clenched jaws"]],
    }
    store = DescriptionStore(Workspace(isolated))
    store.save(draft(members), "v2")
    store.save(draft({"fear": [["tears"]], "anger": [["tears"]]}), "same")


def test_the_findings_as_json() -> None:
    assert json.loads(invoke("v2", "--json")) == {
        "name": "v2",
        "contexts": 8,
        "counts": {"error": 0, "warning": 1, "note": 0},
        "findings": [
            {
                "level": "warning", "rule": "class-name", "message": "names its class", "class_name": "fear",
                "member": 0, "descriptor": "a scared [b]look",
            },
        ],
    }  # fmt: skip


def test_the_findings_as_a_table() -> None:
    shown = " ".join(invoke("v2").split())
    assert "Findings on v2" in shown
    assert "a scared [b]look" in shown
    assert "(member 0)" in shown


def test_a_top_k_view_is_checked_as_such() -> None:
    result = CliRunner().invoke(app, ["descriptions", "check", "v2@1"], catch_exceptions=False)
    assert result.stdout == ""
    assert result.stderr == "v2@1: 0 errors, 0 warnings, 0 notes\n"


def test_strict_fails_on_warnings_and_errors_but_not_on_notes() -> None:
    invoke("v2", "--strict", status=1)
    assert json.loads(invoke("same", "--strict", "--json", status=1))["counts"]["error"] == 1
    invoke("same")
    invoke("v1", "--strict")


def test_classes_and_contexts_can_be_chosen() -> None:
    found = json.loads(invoke("v2", "--classes", "dfew", "--contexts", "72", "--json"))
    by_rule = {rule: [each["class_name"] for each in found["findings"] if each["rule"] == rule]
               for rule in ("missing-class", "too-long")}  # fmt: skip
    assert by_rule["missing-class"] == ["happiness", "sadness", "neutral", "surprise", "disgust"]
    assert set(by_rule["too-long"]) == {"fear", "anger"}  # of 77 positions 3 are left
    with pytest.raises(InputError, match="no class set 'dfe'; did you mean dfew"):
        invoke("v2", "--classes", "dfe")
    with pytest.raises(InputError, match="no description set 'v3'"):
        invoke("v3")
