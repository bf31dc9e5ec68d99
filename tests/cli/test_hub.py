"""`dfer-prompts descriptions push | pull` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError
from dfer_prompts.versions.store import DescriptionStore, load
from dfer_prompts.workspace import Workspace
from tests.prompts.drafts import draft
from tests.prompts.hub import TOKEN, FakeHub


@pytest.fixture
def hub(hub: FakeHub, isolated: Path) -> FakeHub:
    """The hub, and the set `mine` in the workspace."""
    DescriptionStore(Workspace(isolated)).save(draft(), "mine", [{"a": 1}])
    return hub


def invoke(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["descriptions", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    assert TOKEN not in result.output
    return result.stdout, result.stderr


def test_a_dry_run_lists_the_files_and_sends_nothing(hub: FakeHub) -> None:
    out, printed = invoke("push", "mine", "--repo", "me/faces", "--dry-run")
    assert "mine would be uploaded to me/faces" in out
    assert "responses.jsonl, with the verbatim answers, is included" in printed
    assert "licence is unknown" in printed
    assert "Nothing was uploaded" in printed
    listed = json.loads(invoke("push", "mine", "--repo", "me/faces", "--dry-run", "--json")[0])
    assert (listed["repo"], listed["url"], listed["revision"]) == ("me/faces", None, None)
    assert [each["name"] for each in listed["files"]] == [
        "README.md", "descriptors.jsonl", "responses.jsonl", "manifest.yaml",
    ]  # fmt: skip
    assert hub.requests == []


def test_there_and_back(hub: FakeHub) -> None:
    pushed = json.loads(invoke("push", "mine", "--repo", "me/faces", "--private", "--json")[0])
    assert pushed["revision"] == hub.datasets["me/faces"].commits[-1][0]
    assert hub.datasets["me/faces"].private
    pulled = json.loads(invoke("pull", "me/faces@main", "--version", "back", "--json")[0])
    assert (pulled["version"], pulled["revision"]) == ("back", pushed["revision"])
    assert pulled["sha256"] == load("mine").sha256 == load("back").sha256
    out, printed = invoke("pull", "me/faces")
    assert "a glare and tight lips." in out
    assert "dfer-prompts descriptions show v2" in printed
    assert "pull me/faces" in invoke("push", "mine", "--repo", "me/faces")[1]


def test_a_repository_requires_its_owner(hub: FakeHub) -> None:
    with pytest.raises(InputError, match="use USER/NAME"):
        invoke("push", "mine", "--repo", "faces", "--dry-run")
