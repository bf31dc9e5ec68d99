"""How long work says where it is: stage by stage, to whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str], AbstractContextManager[Callable[..., None]]]
"""Given the name of a stage ("clips", "training"): a context whose value is told (done, total, note)."""


@contextmanager
def silence(_stage: str) -> Iterator[Callable[..., None]]:
    """Tell nobody."""
    yield lambda _done, _total, _note="": None
