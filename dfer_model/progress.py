"""Progress of long work: the callbacks that receive it, and callbacks that ignore it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Report = Callable[..., None]
"""Called as report(done, total, note=""): `done` may have a fraction, `note` says what is at work."""

Note = Callable[[str], None]
"""Receives a message for the user."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""Given the name of a stage ("clips", "training"), a context whose value is the stage's `Report`."""


def silent(done: float, total: int, note: str = "") -> None:
    """A `Report` that ignores progress."""


@contextmanager
def silence(_stage: str) -> Iterator[Report]:
    """A `Progress` that ignores every stage."""
    yield silent
