"""`dfer-prompts descriptions diff` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, Workspace
from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError

from ..prompts.drafts import draft


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["descriptions", "diff", *arguments], catch_exceptions=False)
    assert result.exit_code == status
    return result.stdout


@pytest.fixture(autouse=True)
def _versions(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DescriptionStore(Workspace(isolated))
    store.save(draft({"joy": [["a [red]smile[/red]", "tears", "x", "y"]], "awe": [["an open mouth"]]}), "v2")
    store.save(
        draft({"joy": [["y", "a broad [red]smile[/red]", "x", "z"]], "awe": [["an open mouth"]]}), "v3"
    )
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


LINES = """\
joy
  = y  (rank 4 -> 1)
  - tears  (rank 2)
  ~ a [red]smile[/red] -> a broad [red]smile[/red]  (rank 1 -> 2)
  + z  (rank 4)
unchanged: awe
1 added, 1 removed, 1 reworded, 1 moved in 1 of 2 classes
"""


def test_lines_for_a_person() -> None:
    assert invoke("v2", "v3") == LINES


def test_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    coloured = invoke("v2", "v3")
    assert "\x1b[32m  + z\x1b[0m" in coloured
    assert "\x1b[31m  - tears\x1b[0m" in coloured
    assert "\x1b[33m  ~ a [red]smile[/red] -> a broad [red]smile[/red]\x1b[0m" in coloured


def test_json_and_markdown() -> None:
    found = json.loads(invoke("v2", "v3", "--json"))
    assert (found["identical"], found["unchanged"]) == (False, ["awe"])
    assert found["counts"] == {"added": 1, "removed": 1, "reworded": 1, "moved": 1, "support": 0}
    assert "| removed | tears |  | 2 | 1/1 |" in invoke("v2", "v3", "--markdown")
    with pytest.raises(InputError, match="choose one"):
        invoke("v2", "v3", "--markdown", "--json")


def test_the_exit_status_is_set_only_on_request() -> None:
    assert invoke("v2", "v3", "--exit-code", status=1) == LINES
    assert invoke("v2", "v2", "--exit-code") == (
        "v2 and v2 have the same classes, descriptors, ranks and support\n"
    )
    assert "22 removed in 11 of 11 classes" in invoke("v1", "v1@2")
