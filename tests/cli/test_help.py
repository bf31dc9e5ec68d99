"""What every command says of itself: an example that can be typed as it stands, and names for the Tab key."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dfer_prompts import generate
from dfer_prompts.cli.app import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with the words that lead to it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, each in below.items():
        yield from commands(each, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_there_are_the_commands() -> None:
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


def completed(shell: str, *words: str, **environment: str) -> list[str]:
    """What the shell's own protocol is answered for a command line whose last word is being typed."""
    told = {
        "_DFER_PROMPTS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(["dfer-prompts", *words]),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(["dfer-prompts", *words]),
    }
    code = "import sys; sys.argv[:] = ['dfer-prompts']; from dfer_prompts.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **told, **environment}
    )
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert modules.isdisjoint({"torch", "datasets", "openai", "pandas", "sklearn", "open_clip"})
    return done.stdout.split()


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
def test_the_tab_key_offers_names(filled: Path, words: tuple[str, ...], offered: set[str]) -> None:
    assert set(completed("bash", *words)) == offered


def test_zsh_is_answered_too_and_another_workspace_is_looked_into(filled: Path, tmp_path: Path) -> None:
    assert "v2-fold1-seed1-0a1b2c3d" in " ".join(completed("zsh", "predict", "v2"))
    assert completed("bash", "--workspace", str(tmp_path), "predict", "v2") == []


def test_where_the_workspace_is_broken_nothing_is_offered_and_nothing_said(isolated: Path) -> None:
    (isolated / "dfer.yaml").write_text("modle: x\n")
    assert completed("bash", "train", "--dataset", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell_asks_this_program(shell: str) -> None:
    code = "import sys; sys.argv[:] = ['dfer-prompts', '--show-completion', sys.argv[1]]; "
    code += "from dfer_prompts.cli import main; main()"
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, shell], capture_output=True, text=True, check=True, env=environment
    )
    assert "_DFER_PROMPTS_COMPLETE" in done.stdout
    assert "dfer-prompts" in done.stdout
