"""Shared by all tests: the folder of real test data, and an empty workspace for each test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.testing
from PIL import Image

from .prompts.hub import TOKEN, FakeHub, serve

# typer's CliRunner builds all commands in each call, which takes a tenth of a second.
typer.testing._get_command = cache(typer.main.get_command)

# A shell that runs the tests in the background has Ctrl-C ignored, and so would every process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Runs of tests have a confusion.png of one pixel: drawing it takes two fifths of a small training."""
    writer = sys.modules.get("dfer_model.training.run_writer")
    if writer is not None:
        writer.confusion_figure = lambda path, *_: Image.new("RGB", (1, 1)).save(path)


@pytest.fixture
def test_data() -> Path:
    """The folder of real annotation files, footage and models; skips where it is not given."""
    folder = os.environ.get("DFER_TEST_DATA")
    if not folder:
        pytest.skip("DFER_TEST_DATA does not name the folder of real test data")
    return Path(folder)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no key, endpoint, cache or proxy of the user."""
    folder = tmp_path_factory.mktemp("workspace")
    monkeypatch.chdir(folder)
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS")
    for name in (*names, "DFER_PROMPTS_WORKSPACE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DFER_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return folder


@pytest.fixture
def hub(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on loopback in place of HuggingFace's, and an empty cache."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(isolated / "cache"))
    with serve() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
