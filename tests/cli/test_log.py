"""`dfer-prompts descriptions log` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, Workspace
from dfer_prompts.cli.app import app
from dfer_prompts.ensembles import vote

from ..prompts.drafts import draft


def invoke(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["descriptions", "log", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    made = DescriptionStore(Workspace(isolated))
    v2 = made.save(draft(model="m[red]", template="paper"), "v2")
    long = {"command": "edit", "message": "x" * 59, "added": 1000, "removed": 1000, "reworded": 1000}
    made.save(draft(parents=["v2@1", "gone"], derivation=long), "v3")
    both = vote([v2, made.load("v3@1")])
    manifest = both.manifest.model_copy(update={"created": "2999-03-04T05:06:07+00:00"})
    made.save(draft(**manifest.model_dump(exclude={"class_set"})), "v4")
    return made


def test_a_tree_with_each_versions_parents_once(store: DescriptionStore) -> None:
    assert invoke("v4")[0] == (
        "v4  2999-03-04 05:06  ensemble: how vote\n"
        "├── v2  2026-01-02 03:04  llm: m[red] with the template paper\n"
        f"└── v3@1  2026-01-02 03:04  edit: message {'x' * 59}; added 1000; removed 1000; reworded 1000\n"
        "    ├── v2@1  (above)\n"
        "    └── gone  gone does not exist here\n"
    )
    assert invoke()[0] == invoke("v4")[0] + "v1  2026-11-23 00:00  paper\n"


def test_json_has_each_version_once(store: DescriptionStore) -> None:
    entries = json.loads(invoke("v4", "--json")[0])
    assert [entry["name"] for entry in entries] == ["v4", "v2", "v3"]
    assert entries[0]["derivation"] == {"command": "ensemble", "how": "vote"}
    assert entries[2]["parents"][1] == {
        "ref": "gone", "sha256": None, "here": False, "problem": "gone does not exist here",
    }  # fmt: skip


def test_an_unreadable_version_is_reported(store: DescriptionStore, isolated: Path) -> None:
    (isolated / "descriptions" / "v2" / "manifest.yaml").write_text("\x1b[2J [")
    printed, output = invoke()
    assert "└── gone" in printed
    assert output.startswith("v2 cannot be read: ")
    assert "\x1b" not in printed + output
