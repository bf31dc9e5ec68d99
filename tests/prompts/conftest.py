"""The loopback endpoint as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .endpoint import FakeEndpoint, serve


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    """A server that answers chat completions on 127.0.0.1, also where a proxy is configured."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with serve() as server:
        yield server
