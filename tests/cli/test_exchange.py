"""`dfer-prompts descriptions import | export` as a person and a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfer_prompts.cli.app import app
from dfer_prompts.errors import InputError
from dfer_prompts.versions.store import load


def invoke(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["descriptions", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_out_and_in_again(isolated: Path) -> None:
    (isolated / "dfer.yaml").write_text("license: cc-by-4.0\n", encoding="utf-8")
    written = json.loads(invoke("export", "v1@2", "--out", "two.txt", "--json")[0])
    assert written | {"notes": None} == {
        "file": "two.txt", "format": "text", "bytes": (isolated / "two.txt").stat().st_size, "notes": None,
    }  # fmt: skip
    assert written["notes"][0].startswith("class names: the order of the lines is happiness, sadness")
    made = json.loads(invoke("import", "two.txt", "--classes", "mafw", "--version", "back", "--json")[0])
    assert (made["version"], made["format"], made["notes"]) == ("back", "text", [])
    assert made["sha256"] == load("v1@2").sha256
    assert load("back").manifest.license == "cc-by-4.0"
    assert "license: cc-by-4.0" in (isolated / "descriptions" / "back" / "README.md").read_text(
        encoding="utf-8"
    )


def test_standard_output_has_only_the_file_and_losses_are_on_stderr() -> None:
    out, result = invoke("export", "v1", "--format", "cupl")
    assert json.loads(out)["sadness"] == [load("v1").description("sadness")]
    assert "descriptors: only sentences" in result
    assert "manifest: source, citation" in result


def test_import_shows_the_file_and_the_version(isolated: Path) -> None:
    (isolated / "x.json").write_text('{"a": ["A smile."], "b": ["A frown.", "Tears."]}', encoding="utf-8")
    out, output = invoke("import", "x.json", "--license", "mit")
    assert "A frown.; Tears." in out
    assert "Note: read as cupl" in output
    assert "dfer-prompts descriptions check v2" in output
    assert load("v2").manifest.license == "mit"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("export", "v1"), "no format is given: add --format NAME, or --out FILE"),
        (("export", "v1", "--format", "csv", "--json"), "--json requires --out FILE"),
        (("export", "v1", "--format", "xml"), "no format 'xml'"),
        (("import", "x.json", "--version", "v1"), "already"),
        (("import", "x.json"), "no file x.json"),
    ],
)
def test_wrong_usage_is_an_error(arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        invoke(*arguments)
