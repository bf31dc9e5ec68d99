"""Every command block of the README runs as it is written, on clips and an endpoint made here.

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

README = Path(__file__).parent.parent / "README.md"
QUICK = "preset: quick\npresets: {quick: {base: demo, epochs: 1, frames: 4, workers: 0}}\n"
OLLAMA = "http://localhost:11434/v1"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder as the README's reader has it: MAFW as distributed, a video, and a quick preset."""
    write_mafw(tmp_path / "MAFW", video=tmp_path / "clip.mp4")
    (tmp_path / "dfer.yaml").write_text(QUICK)
    return tmp_path


def test_command_blocks_run_in_order(workspace: Path) -> None:
    commands = [block for block in blocks("bash") if "make " not in block]
    assert len(commands) >= 6
    with serve() as endpoint:
        script = "\n".join(commands).replace(OLLAMA, endpoint.base_url)
        result = subprocess.run(
            ["bash", "-e", "-x"],
            input=script,
            cwd=workspace,
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
    assert {path.name for path in (workspace / "descriptions").iterdir()} == {"v2", "v3"}
    assert (workspace / "predictions.parquet").is_file()
    assert len(list((workspace / "comparisons").glob("*/comparison.json"))) == 1


def test_make_targets_exist() -> None:
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=README.parent, check=True, capture_output=True)


def test_python_blocks_print_what_they_say() -> None:
    for block in blocks("python"):
        result = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=True)
        said = re.findall(r"print\(.*\)  # (.*)", block)
        assert result.stdout.splitlines() == said
