"""The root command: what it loads, and what an error looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def dfer_prompts(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dfer_prompts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_loads_no_heavy_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dfer_prompts", "--help"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in listing.splitlines()}
    assert "typer" in modules
    assert modules.isdisjoint(
        {
            "torch",
            "pydantic",
            "yaml",
            "jinja2",
            "datasets",
            "openai",
            "matplotlib",
            "open_clip",
            "pandas",
            "sklearn",
        }
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--version"], 0, "dfer-prompts"),
        (["descriptons"], 2, "descriptions"),
        (["--workspace", "nowhere", "descriptions", "list"], 2, "nowhere is not a folder"),
        (["descriptions", "show", "v11"], 2, "did you mean v1?"),
        (["trian"], 2, "Did you mean 'train'?"),
        (["train", "--fodl", "1"], 2, "--fold"),
    ],
)
def test_exit_status_and_message(arguments: list[str], status: int, said: str) -> None:
    result = dfer_prompts(*arguments)
    assert result.returncode == status
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_commands_that_are_work_for_one_process_are_refused_by_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    first = dfer_prompts("compare", "v1", "v1@1")
    monkeypatch.setenv("RANK", "1")
    second = dfer_prompts("compare", "v1", "v1@1")
    assert first.returncode == second.returncode == 2
    assert first.stderr.startswith("Error: compare runs in one process; torchrun started 2\n")
    assert "without torchrun" in first.stderr
    assert (second.stdout, second.stderr) == ("", "")  # the first has said it


def test_debug_shows_the_traceback() -> None:
    result = dfer_prompts("--debug", "descriptions", "show", "v11")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("model: [unclosed", "is not valid YAML"),
        ("- a list", "must consist of `key: value` lines"),
        ("modle: llama3", "unknown key 'modle'"),
        ("modle: llama3", "; did you mean model?"),
    ],
)
def test_a_broken_dfer_yaml_is_a_sentence(content: str, said: str) -> None:
    Path("dfer.yaml").write_text(content)
    result = dfer_prompts("generate", "--classes", "dfew")
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="closes standard output as a shell's `>&-` does")
@pytest.mark.parametrize("arguments", [["descriptions", "show", "v1", "--json"], ["descriptions", "list"]])
def test_with_standard_output_closed_nothing_is_said_in_vain(arguments: list[str]) -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "dfer_prompts", *arguments]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("group", ["", "classes", "prompts", "responses", "descriptions", "data"])
def test_the_list_of_commands_has_whole_sentences(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = dfer_prompts(*group.split(), "--help").stdout.partition("Commands:")[2].splitlines()
    assert [line for line in listed if (line and not line.endswith(".")) or line.endswith("...")] == []
    assert len(listed) > 2
