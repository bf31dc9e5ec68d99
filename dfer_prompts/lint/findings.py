"""What a check looks at and what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..classes import ClassSet
from ..description_set import DescriptionSet

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing found: where a field is None, it is said of the whole set, class or member.

    An `error` cannot be trained on or compared fairly, a `warning` is likely to be wrong, a `note` may well
    be right and is worth a look.
    """

    level: Level
    rule: str
    message: str
    class_name: str | None = None
    member: int | None = None
    descriptor: str | None = None


@dataclass(frozen=True)
class Subject:
    """A description set and, of its classes, those it is checked for."""

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
