"""Every command block of the README and the guide runs as it is written, on clips and an endpoint made here.

Only what is out of reach is replaced: the CLIP of 600 MB by the demo's (through `dfer.yaml`), and the
addresses of OpenAI and Ollama by a server on loopback.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """A folder as the README's reader has it: MAFW as distributed, a video, and a quick preset."""
    write_mafw(tmp_path / "MAFW", video=tmp_path / "clip.mp4")
    (tmp_path / "dfer.yaml").write_text(QUICK)
    return tmp_path


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    """Where the commands run: torch, which takes seconds to import, is imported once for all of them."""
    with forks(modules=("dfer_model.training.loop", "dfer_model.comparison.descriptor_search")) as started:
        yield started


def run(processes: Forks, commands: list[str], folder: Path) -> None:
    """Run the commands in processes of their own, one after the other, with a language model on loopback."""
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


def test_command_blocks_run_in_order(processes: Forks, workspace: Path) -> None:
    commands = [block for block in blocks("bash") if "make " not in block]
    assert len(commands) >= 6
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


def test_its_pictures_are_there_and_small() -> None:
    shown = re.findall(r"^!\[.+\]\((docs/pictures/.+?)\)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {Path(each).stem for each in shown} == {"pipeline", "timeline", "report", "demo"}
    for each in shown:
        assert 1000 < (ROOT / each).stat().st_size < 300_000, each


def test_make_targets_exist() -> None:
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=README.parent, check=True, capture_output=True)


@pytest.mark.parametrize("page", [README, GUIDE], ids=["README", "guide"])
def test_python_blocks_print_what_they_say(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python", page):
        exec(block, {"__name__": "__main__"})
        said = re.findall(r"print\(.*\)  # (.*)", block)
        assert said
        assert capsys.readouterr().out.splitlines() == said
