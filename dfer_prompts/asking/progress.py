"""How far the asking is, class by class: what long work tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .answers import usage_of


@dataclass
class Tally:
    """Requests of one class, or of all; tokens are those the server counted in this call."""

    requests: int = 0
    found: int = 0  # answers that were already stored
    answered: int = 0  # responses that arrived in this call
    failed: int = 0  # of those the ones that are no answers, and the requests without a response
    lost: int = 0  # requests without a response
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def done(self) -> int:
        """Requests that nothing more will happen to."""
        return self.found + self.answered + self.lost

    def arrived(self, response: Any, *, is_answer: bool) -> None:
        """Count a response."""
        self.answered += 1
        self.failed += not is_answer
        self.prompt_tokens += usage_of(response, "prompt_tokens") or 0
        self.completion_tokens += usage_of(response, "completion_tokens") or 0


@dataclass
class Progress:
    """All classes of one set that is being asked for."""

    title: str
    classes: dict[str, Tally] = field(default_factory=dict)
    latest: str = ""  # the class that something happened to
    retrying: bool = False  # whether that was another attempt

    @property
    def total(self) -> Tally:
        """The sum over the classes."""
        names = Tally().__dict__
        return Tally(**{name: sum(getattr(each, name) for each in self.classes.values()) for name in names})


Report = Callable[[Progress], None]
