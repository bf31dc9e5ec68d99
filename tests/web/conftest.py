"""One process that has imported the page, from which the servers of the tests are forked, and a session."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from ..prompts.forks import Forks
from .calls import opened_session
from .server import Server, server_processes

find_file = inspect.getfile


def _file_outside_gradio(of: Any) -> str:
    if str(getattr(of, "__module__", "")).startswith("gradio."):
        raise OSError
    return find_file(of)


# Gradio compares the .pyi files of its components with their source at each import, which takes seconds,
# unless their source is not found.
with patch("inspect.getfile", _file_outside_gradio):
    pytest.importorskip("gradio")


@pytest.fixture(scope="session")
def processes() -> Iterator[Forks]:
    with server_processes() as started:
        yield started


@pytest.fixture(scope="module")
def session(server: Server) -> str:
    return opened_session(server)
