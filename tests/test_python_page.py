"""The page on Python: its command and its examples run unchanged, in order."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from dfer_prompts.cli import main

from .model.evaluation.test_classify import encode
from .test_readme import blocks

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


@pytest.mark.docs
def test_blocks_run_in_order_and_print_their_comments(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encode(isolated / "clip.mp4", frames=8)
    for command in blocks("bash", PAGE):
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    capsys.readouterr()
    known: dict[str, object] = {}
    for block in blocks("python", PAGE):
        exec(block, known)
        expected = re.findall(r"print\(.*\)  # (.*)", block)
        assert expected
        assert capsys.readouterr().out.splitlines() == expected
