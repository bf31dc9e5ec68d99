"""Consoles that cannot show every character, and pipes that nobody reads: no traceback in either."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dfer_prompts.cli import main
from dfer_prompts.cli.output import keep_writable, print_pieces, print_tree, progress

TEXT = "\u4e0a\u626c\u7684\u5634\u89d2 \u2192 smile"  # Chinese and an arrow; neither is in cp1252
ESCAPED = r"\u4e0a\u626c\u7684\u5634\u89d2 \u2192 smile"
COMMANDS = [
    "classes show own.yaml",
    "classes show own.yaml --json",
    "descriptions show own",
    "descriptions show own --json",
    "descriptions list",
    "descriptions log own",
    "descriptions check own",
    "descriptions diff own other",
    "descriptions diff v1 own",
    "descriptions export own --format text --out x.txt",
    "descriptions show \u4e0a",
    "prompts show own",
    "prompts render own --classes own.yaml",
    "prompts list",
    "prompts check own",
    "generate --classes own.yaml --source control:class-name --of own --version new",
    "generate --classes own.yaml --model demo --dry-run",
    "generate --classes \u4e0a.yaml --source facs",
    "--workspace \u4e0a descriptions list",
    "train --descriptions \u4e0a --dataset none",
    "report \u4e0a",
    "--help",
    "descriptions --help",
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class set, two versions and a template whose words are Chinese."""
    folder = tmp_path_factory.mktemp("encodings")
    (folder / "own.yaml").write_text("name: own\nclasses: [\u5e78\u798f, \u6124\u6012]\n", encoding="utf-8")
    (folder / "prompts").mkdir()
    template = f"---\nname: own\npurpose: {TEXT}\n---\n{TEXT} {{{{ class_name }}}}?\n"
    (folder / "prompts" / "own.md").write_text(template, encoding="utf-8")
    for name, text in (("own", TEXT), ("other", "\u76b1\u7709")):
        content = {"\u5e78\u798f": [text], "\u6124\u6012": ["a frown \u2013 deep"]}
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        words = ["descriptions", "import", f"{name}.json", "--version", name]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["dfer-prompts", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code
    return folder


def console(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback_on_a_console_of_few_characters(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    out, err = console("cp1252"), console("cp1252")
    monkeypatch.chdir(workspace)
    (workspace / "x.txt").unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", ["dfer-prompts", *command.split()])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as ended:
        main()
    output = written(out) + written(err)
    assert ended.value.code in (None, 0, 2), output
    assert "Traceback" not in output
    assert output.strip()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_characters_missing_in_the_encoding_are_escaped(encoding: str) -> None:
    stream = console(encoding)
    keep_writable(stream)
    stream.write(f"caf\u00e9 {TEXT}")
    cafe = "caf\u00e9" if encoding != "ascii" else r"caf\xe9"
    assert written(stream) == f"{cafe} {TEXT if encoding == 'utf-8' else ESCAPED}"


def test_a_chosen_encoding_is_kept() -> None:
    stream = console("cp1252", "replace")
    keep_writable(stream)
    stream.write("\u2192")
    assert written(stream) == "?"


def test_bars_trees_and_colours_fit_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = console("cp1252"), console("cp1252")
    for stream in (out, err):
        keep_writable(stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    from dfer_prompts.cli.output import Branch

    print_tree(Branch([(TEXT, "bold")], [Branch([("below", "")], [])]))
    print_pieces([[(TEXT, "red")]])
    with progress(TEXT) as report:
        report(1, 2, TEXT)
    assert ESCAPED in written(out)
    assert "below" in written(out)
    assert "1/2" in written(err)


@pytest.mark.parametrize("words", [["descriptions", "show", "v1", "--json"], ["--help"], ["classes", "list"]])
@pytest.mark.parametrize("broken", ["stdout", "stderr"])
def test_a_closed_pipe_ends_the_command_without_an_error(words: list[str], broken: str) -> None:
    command = [sys.executable, "-m", "dfer_prompts", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **streams)  # type: ignore[call-overload]
    getattr(process, broken).close()
    other = process.stderr if broken == "stdout" else process.stdout
    output = other.read()
    assert process.wait() in (0, 1)
    assert b"Traceback" not in output
    assert b"Exception ignored" not in output
    if broken == "stderr":
        assert output
