"""Drawn faces, and a server on loopback that measures the images it receives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dfer_model.data.packed import PackedClips

from ... import drawn_clips
from ...drawn_clips import describing
from ...prompts.endpoint import FakeEndpoint, serve
from ..test_train import Terminal
from .commands import Run


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as endpoint:
        endpoint.script = describing
        yield endpoint


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return drawn_clips.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def run(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    terminal = Terminal(monkeypatch, capsys)

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        server = [] if "--base-url" in words else ["--base-url", endpoint.base_url]
        model = [] if "--model" in words else ["--model", "tiny"]
        options = [*server, *model] if words[0] == "generate" else []
        return terminal(*words, *options, status=status)

    return run
