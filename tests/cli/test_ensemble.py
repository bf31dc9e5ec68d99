"""`dfer-prompts ensemble` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, Workspace
from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError

from ..prompts.drafts import draft


def invoke(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["ensemble", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    made = DescriptionStore(Workspace(isolated))
    made.save(draft({"happiness": [["a [b]smile[/b]", "tears"]], "sadness": [["tears"]]}), "v2")
    made.save(draft({"happiness": [["tears"]], "awe": [["an open mouth"]]}), "v3")
    return made


def test_members_with_weights(store: DescriptionStore) -> None:
    printed, output = invoke("v2@1", "v3", "--weights", "2,1", "--version", "both", "--json")
    assert json.loads(printed) == {
        "version": "both",
        "folder": str(store.path("both")),
        "left_out": ["sadness", "awe"],
        "classes": {"happiness": [["a [b]smile[/b]"], ["a [b]smile[/b]"], ["tears"]]},
    }
    assert output == ""
    assert store.load("both").manifest.parents == ["v2@1", "v3"]
    assert store.verify("both") == []


def test_vote_prints_a_table_and_the_classes_left_out(store: DescriptionStore) -> None:
    printed, output = invoke("v2", "v3", "--how", "vote")
    assert "tears and a [b]smile[/b]." in printed
    assert "Left out because not all sets cover them: sadness, awe" in output
    assert store.load("v4").manifest.derivation["how"] == "vote"


def test_invalid_ensembles_are_errors_before_anything_is_written(store: DescriptionStore) -> None:
    for arguments, reason in [
        (("v2", "v3", "--weights", "2,x"), "one number per set, such as 2,1, not '2,x'"),
        (("v2@1", "v3", "--top-k", "3"), "with members give views: v2@3"),
        (("v2", "v9"), "no description set 'v9'"),
        (("v2", "v3", "--version", "v2"), "the description set 'v2' already exists"),
    ]:
        with pytest.raises(InputError, match=reason):
            invoke(*arguments)
    assert store.list() == ["v1", "v2", "v3"]
