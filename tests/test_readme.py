"""The command and Python blocks of the README and the guide run unchanged, on generated clips.

Only unavailable resources are replaced: the CLIP of 600 MB by the demo's (through `dfer.yaml`), and the
addresses of OpenAI and Ollama by a server on loopback.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfer_prompts.cli import main

from .official_layouts import write_mafw
from .prompts.endpoint import serve
from .prompts.forks import Forks, forks

ROOT = Path(__file__).parent.parent
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "descriptions.md"
DEMO = "{base: demo, epochs: 1, frames: 4, workers: 0}"
QUICK = f"preset: quick\npresets: {{quick: {DEMO}, paper: {DEMO}}}\n"
OLLAMA = "http://localhost:11434/v1"


def blocks(language: str, page: Path = README) -> list[str]:
    """The fenced blocks of a page in a language, in order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The folder of a README reader: MAFW as distributed, a video, and a quick preset."""
    write_mafw(tmp_path / "MAFW", video=tmp_path / "clip.mp4")
    (tmp_path / "dfer.yaml").write_text(QUICK)
    return tmp_path


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    """Processes for the commands, in which torch is already imported."""
    with forks(modules=("dfer_model.training.loop", "dfer_model.comparison.descriptor_search")) as started:
        yield started


def run(processes: Forks, commands: list[str], folder: Path) -> None:
    """Run the commands in separate processes, in order, with a language model on loopback."""
    with serve() as endpoint:
        environment = {"OPENAI_BASE_URL": endpoint.base_url}
        for line in "\n".join(commands).replace(OLLAMA, endpoint.base_url).splitlines():
            program, *arguments = shlex.split(line, comments=True) or ["export"]
            if program == "export":
                environment |= dict(each.split("=", 1) for each in arguments)
                continue
            assert program == "dfer-prompts", line
            process = processes.start(folder, *arguments, **environment)
            assert process.wait() == 0, f"{line}\n{process.text()[-3000:]}"


@pytest.mark.docs
def test_command_blocks_run_in_order(processes: Forks, workspace: Path) -> None:
    commands = [block for block in blocks("bash") if "make " not in block]
    assert len(commands) == 3
    run(processes, commands, workspace)
    assert {path.name for path in (workspace / "descriptions").iterdir()} == {"v2", "v3"}
    assert (workspace / "predictions.parquet").is_file()
    assert len(list((workspace / "comparisons").glob("*/comparison.json"))) == 1


@pytest.mark.docs
def test_command_blocks_of_the_guide_run_in_order(processes: Forks, workspace: Path) -> None:
    with (workspace / "dfer.yaml").open("a") as defaults:
        defaults.writelines(blocks("yaml", GUIDE))
    prepare = "dfer-prompts data prepare mafw --root MAFW --out packed/mafw"
    run(processes, [prepare, *blocks("bash", GUIDE)], workspace)
    versions = {path.name for path in (workspace / "descriptions").iterdir()}
    assert versions == {"v2", "v3", "v4", "again", "both", "voted", "from-text", "noise", "searched"}
    assert (workspace / "cosines.png").read_bytes()[:4] == b"\x89PNG"


def test_pictures_exist_and_are_small() -> None:
    shown = re.findall(r"^!\[.+\]\((docs/pictures/.+?)\)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {Path(each).stem for each in shown} == {"pipeline", "timeline", "report"}
    for each in shown:
        assert 1000 < (ROOT / each).stat().st_size < 300_000, each


def test_make_targets_exist() -> None:
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=README.parent, check=True, capture_output=True)


def test_length_and_terminal_excerpt_are_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
    (excerpt,) = blocks("text")
    assert len(excerpt.splitlines()) <= 20
    assert max(map(len, excerpt.splitlines())) <= 100


@pytest.mark.parametrize(
    "page", [pytest.param(README, id="README", marks=pytest.mark.docs), pytest.param(GUIDE, id="guide")]
)
def test_python_blocks_print_their_comments(
    page: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks("python", page):
        for command in re.findall(r"^# Clips: (dfer-prompts .+)", block, re.MULTILINE):
            monkeypatch.setattr(sys, "argv", shlex.split(command))
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
            capsys.readouterr()
        exec(block, {"__name__": "__main__"})
        expected = re.findall(r"^print\(.*\)  # (.*)", block, re.MULTILINE)
        assert expected
        assert capsys.readouterr().out.splitlines() == expected
