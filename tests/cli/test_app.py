"""The root command: imported modules, error messages and exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_prompts.cli import main

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def dfer_prompts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run `dfer-prompts ARGUMENTS` in-process."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *arguments])
        for name in ("stdout", "stderr"):  # `main` may replace them
            monkeypatch.setattr(sys, name, getattr(sys, name))
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_a_process_has_the_exit_status_and_message_of_an_error() -> None:
    command = [sys.executable, "-m", "dfer_prompts", "descriptions", "show", "v11"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "did you mean v1?" in result.stderr
    assert "Traceback" not in result.stderr


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
    ("arguments", "status", "message"),
    [
        (["--version"], 0, "dfer-prompts"),
        (["descriptons"], 2, "descriptions"),
        (["--workspace", "nowhere", "descriptions", "list"], 2, "nowhere is not a folder"),
        (["trian"], 2, "Did you mean 'train'?"),
        (["train", "--fodl", "1"], 2, "--fold"),
    ],
)
def test_exit_status_and_message(
    dfer_prompts: Callable[..., Result], arguments: list[str], status: int, message: str
) -> None:
    result = dfer_prompts(*arguments)
    assert result.returncode == status
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_single_process_commands_are_refused_under_torchrun(
    dfer_prompts: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    first = dfer_prompts("compare", "v1", "v1@1")
    monkeypatch.setenv("RANK", "1")
    second = dfer_prompts("compare", "v1", "v1@1")
    assert first.returncode == second.returncode == 2
    assert first.stderr.startswith("Error: compare runs in one process; torchrun started 2\n")
    assert "without torchrun" in first.stderr
    assert (second.stdout, second.stderr) == ("", "")  # only rank 0 prints


def test_debug_shows_the_traceback(dfer_prompts: Callable[..., Result]) -> None:
    result = dfer_prompts("--debug", "descriptions", "show", "v11")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: [unclosed", "is not valid YAML"),
        ("- a list", "must consist of `key: value` lines"),
        ("modle: llama3", "unknown key 'modle'"),
        ("modle: llama3", "; did you mean model?"),
    ],
)
def test_an_invalid_dfer_yaml_is_one_error(
    dfer_prompts: Callable[..., Result], content: str, message: str
) -> None:
    Path("dfer.yaml").write_text(content)
    result = dfer_prompts("generate", "--classes", "dfew")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="closes standard output as a shell's `>&-` does")
@pytest.mark.parametrize("arguments", [["descriptions", "show", "v1", "--json"], ["descriptions", "list"]])
def test_a_closed_standard_output_is_not_an_error(arguments: list[str]) -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "dfer_prompts", *arguments]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("group", ["", "classes", "prompts", "responses", "descriptions", "data"])
def test_short_help_of_commands_is_not_truncated(
    dfer_prompts: Callable[..., Result], group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = dfer_prompts(*group.split(), "--help").stdout.partition("Commands:")[2].splitlines()
    assert [line for line in listed if (line and not line.endswith(".")) or line.endswith("...")] == []
    assert len(listed) > 2
