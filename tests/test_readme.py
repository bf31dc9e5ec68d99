"""Every command block of the README and the guide runs as it is written, on clips and an endpoint made here.

Only what is out of reach is replaced: the CLIP of 600 MB by the demo's (through `dfer.yaml`), and the
addresses of OpenAI and Ollama by a server on loopback.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .official_layouts import write_mafw
from .prompts.endpoint import serve

ROOT = Path(__file__).parent.parent
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "descriptions.md"
QUICK = "preset: quick\npresets: {quick: {base: demo, epochs: 1, frames: 4, workers: 0}}\n"
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


def run(commands: list[str], folder: Path) -> None:
    """Run the commands in a shell, one after the other, with a language model on loopback."""
    with serve() as endpoint:
        result = subprocess.run(
            ["bash", "-e", "-x"],
            input="\n".join(commands).replace(OLLAMA, endpoint.base_url),
            cwd=folder,
            env={
                **os.environ,
                "OPENAI_BASE_URL": endpoint.base_url,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr[-3000:]


def test_command_blocks_run_in_order(workspace: Path) -> None:
    commands = [block for block in blocks("bash") if "make " not in block]
    assert len(commands) >= 6
    run(commands, workspace)
    assert {path.name for path in (workspace / "descriptions").iterdir()} == {"v2", "v3"}
    assert (workspace / "predictions.parquet").is_file()
    assert len(list((workspace / "comparisons").glob("*/comparison.json"))) == 1


def test_command_blocks_of_the_guide_run_in_order(workspace: Path) -> None:
    with (workspace / "dfer.yaml").open("a") as defaults:
        defaults.writelines(blocks("yaml", GUIDE))
    prepare = "dfer-prompts data prepare mafw --root MAFW --out packed/mafw"
    run([prepare, *blocks("bash", GUIDE)], workspace)
    versions = {path.name for path in (workspace / "descriptions").iterdir()}
    assert versions == {"v2", "v3", "v4", "again", "both", "voted", "from-text", "noise", "searched"}
    assert (workspace / "cosines.png").read_bytes()[:4] == b"\x89PNG"


def test_make_targets_exist() -> None:
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=README.parent, check=True, capture_output=True)


@pytest.mark.parametrize("page", [README, GUIDE], ids=["README", "guide"])
def test_python_blocks_print_what_they_say(page: Path) -> None:
    for block in blocks("python", page):
        result = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=True)
        said = re.findall(r"print\(.*\)  # (.*)", block)
        assert result.stdout.splitlines() == said
