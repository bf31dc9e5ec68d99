"""The help of every command: its example parses; shell completion offers names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts import generate
from dfer_prompts.cli import main
from dfer_prompts.cli.app import command_tree


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that is not a group, with its path."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, each in below.items():
        yield from commands(each, (*path, name))


COMMANDS = list(commands(command_tree()))


def test_all_commands_are_registered() -> None:
    paths = {path for path, _ in COMMANDS}
    assert {("demo",), ("doctor",), ("train",), ("descriptions", "diff"), ("data", "prepare")} <= paths
    assert len(paths) >= 35


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_the_example_of_every_command_parses(path: tuple[str, ...], command: Any) -> None:
    lines = [line.strip() for line in (command.help or "").splitlines()]
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    assert len(examples) == 1
    program, *words = shlex.split(examples[0])
    assert (program, *words[: len(path)]) == ("dfer-prompts", *path)
    # Parses as click does before it calls the command; a wrong option, value or number of them raises.
    context = command.make_context(program, words[len(path) :])
    assert context.command is command


def completion_request(shell: str, *words: str) -> dict[str, str]:
    """The environment by which a shell requests completions of the last word."""
    return {
        "_DFER_PROMPTS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(["dfer-prompts", *words]),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(["dfer-prompts", *words]),
    }


Complete = Callable[..., list[str]]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """Completions of the last word, requested in-process."""

    def run(shell: str, *words: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts"])
        # Otherwise the name of the program would be that of pytest.
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None, raising=False)
        for name, value in completion_request(shell, *words).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main()
        out, err = capsys.readouterr()
        assert err == ""
        return out.split()

    return run


def test_completion_imports_no_large_library(filled: Path) -> None:
    code = "import sys; sys.argv[:] = ['dfer-prompts']; from dfer_prompts.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code]
    environment = {**os.environ, **completion_request("bash", "train", "--descriptions", "")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert set(done.stdout.split()) == {"v1", "v2"}
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert modules.isdisjoint({"torch", "datasets", "openai", "pandas", "sklearn", "open_clip"})


@pytest.fixture
def filled(isolated: Path) -> Path:
    """A workspace with a version, a run, a template and a dataset's name."""
    for name in ("v2-fold1-seed1-0a1b2c3d", "v2-fold2-seed1-0a1b2c3d"):
        (isolated / "runs" / name).mkdir(parents=True)
        (isolated / "runs" / name / "config.yaml").touch()
    generate("dfew", source="facs", version="v2")
    (isolated / "dfer.yaml").write_text("datasets: {mafw: packed/mafw}\n")
    return isolated


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("desc",), {"descriptions"}),
        (("descriptions", "ver"), {"verify"}),
        (("train", "--descr"), {"--descriptions"}),
        (("train", "--descriptions", ""), {"v1", "v2"}),
        (("descriptions", "diff", "v1", "v"), {"v1", "v2"}),
        (("compare", "v2"), {"v2"}),
        (("predict", "v2-fold2"), {"v2-fold2-seed1-0a1b2c3d"}),
        (("train", "--dataset", "m"), {"mafw"}),
        (("classes", "show", "mafw-"), {"mafw-compound"}),
        (("prompts", "show", "struct"), {"structured"}),
        (("train", "--select", "te"), {"test-best"}),
    ],
)
def test_completions(filled: Path, complete: Complete, words: tuple[str, ...], offered: set[str]) -> None:
    assert set(complete("bash", *words)) == offered


def test_completions_for_zsh_and_of_another_workspace(
    filled: Path, complete: Complete, tmp_path: Path
) -> None:
    assert "v2-fold1-seed1-0a1b2c3d" in " ".join(complete("zsh", "predict", "v2"))
    assert complete("bash", "--workspace", str(tmp_path), "predict", "v2") == []


def test_an_invalid_workspace_gives_no_completions(isolated: Path, complete: Complete) -> None:
    (isolated / "dfer.yaml").write_text("modle: x\n")
    assert complete("bash", "train", "--dataset", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell_calls_this_program(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setattr(sys, "argv", ["dfer-prompts", "--show-completion", shell])
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None, raising=False)
    command_tree.cache_clear()  # typer reads the environment when it builds the commands
    with pytest.raises(SystemExit) as ended:
        main()
    command_tree.cache_clear()
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "_DFER_PROMPTS_COMPLETE" in out
    assert "dfer-prompts" in out
