"""The input and the result of a check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..classes import ClassSet
from ..description_set import DescriptionSet

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding; a field that is None means the whole set, class or member.

    With an `error` the set cannot be trained on or compared fairly; a `warning` is a likely mistake; a `note`
    may be correct and should be reviewed.
    """

    level: Level
    rule: str
    message: str
    class_name: str | None = None
    member: int | None = None
    descriptor: str | None = None


@dataclass(frozen=True)
class Subject:
    """A description set and the classes to check."""

    descriptions: DescriptionSet
    class_names: tuple[str, ...]
    contexts: int
    asked: ClassSet | None

    def sentences(self) -> Iterator[tuple[str, int, str]]:
        """Class name, member and sentence of every description."""
        for name in self.class_names:
            for member in range(len(self.descriptions.members[name])):
                yield name, member, self.descriptions.description(name, member)

    def texts(self) -> Iterator[tuple[str, int, str]]:
        """Class name, member and text of every descriptor."""
        for name in self.class_names:
            for number, member in enumerate(self.descriptions.members[name]):
                for each in member:
                    yield name, number, each.text
