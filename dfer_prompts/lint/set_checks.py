"""Checks of whole sets: missing, short or identical classes, and descriptions too long for CLIP.

The input and the result of a check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ..classes import ClassSet, compound_parts, match_class_name
from ..clip_tokens import CONTEXT_LENGTH, MARKS, count_tokens, room
from ..description_set import DescriptionSet
from ..errors import listed
from ..normalize import normal_form

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


NEARLY = 0.9  # of the available tokens
UNBALANCED = 2.0  # ratio of the longest to the shortest description, in tokens


def missing_classes(of: Subject) -> Iterator[Finding]:
    """Requested classes that the set does not describe."""
    for name in of.asked.names if of.asked else ():
        if match_class_name(name, of.descriptions.class_names) is None:
            yield Finding("error", "missing-class", "the set has no description of this class", name)


def short_classes(of: Subject) -> Iterator[Finding]:
    """Classes with fewer members, or members with fewer descriptors, than the median."""
    members = {name: of.descriptions.members[name] for name in of.class_names}
    counts = [len(each) for each in members.values()]
    sizes = [len(member) for each in members.values() for member in each]
    for name, own in members.items():
        if len(own) < median(counts):
            message = f"{_count(len(own), 'member')}; the median is {median(counts):g}"
            yield Finding("warning", "short-class", message, name)
        for number, member in enumerate(own):
            if len(member) < median(sizes):
                message = f"{_count(len(member), 'descriptor')}; the median is {median(sizes):g}"
                yield Finding("warning", "short-class", message, name, number)


def same_sentences(of: Subject) -> Iterator[Finding]:
    """Classes with identical sentences, and repeated sentences of a class."""
    owners: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, number, sentence in of.sentences():
        owners[sentence.casefold()].append((name, number))
    for (name, number), *others in owners.values():
        classes = [other for other in dict.fromkeys(other for other, _ in others) if other != name]
        if classes:
            message = f"the same sentence as {listed(classes)}: a model cannot distinguish them"
            yield Finding("error", "same-sentence", message, name, number)
        if any(other == name for other, _ in others):
            yield Finding("warning", "repeated", "another member has the same sentence", name, number)


def repeated_descriptors(of: Subject) -> Iterator[Finding]:
    """Descriptors that a member repeats, also in other words."""
    first: dict[tuple[str, int, str], str] = {}
    for name, number, text in of.texts():
        key = (name, number, normal_form(text))
        if key in first:
            message = f"the same as {first[key]!r}"
            yield Finding("warning", "repeated", message, name, number, text)
        first.setdefault(key, text)


def shared_descriptors(of: Subject) -> Iterator[Finding]:
    """Descriptors shared by several classes, except by compound classes and their parts."""
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for name, _, text in of.texts():
        owners[normal_form(text)].setdefault(name, text)
    for texts in owners.values():
        name, *others = texts
        apart = [other for other in others if not set(compound_parts(name)) & set(compound_parts(other))]
        if apart:
            message = f"shared with {listed(apart)}"
            yield Finding("note", "shared", message, name, descriptor=texts[name])


def long_texts(of: Subject) -> Iterator[Finding]:
    """Descriptions that exceed, or nearly fill, CLIP's positions."""
    limit = room(of.contexts)
    beside = (
        f"{limit} of CLIP's {CONTEXT_LENGTH} positions remain beside {MARKS} marks and {of.contexts} contexts"
    )
    for name, number, sentence in of.sentences():
        tokens = count_tokens(sentence)
        if tokens > limit:
            message = f"{tokens} tokens do not fit: {beside}"
            yield Finding("error", "too-long", message, name, number)
        elif tokens > NEARLY * limit:
            yield Finding("warning", "nearly-too-long", f"{tokens} tokens: {beside}", name, number)


def unbalanced_lengths(of: Subject) -> Iterator[Finding]:
    """A set whose longest description has more than twice the tokens of its shortest."""
    lengths = [(count_tokens(sentence), name) for name, _, sentence in of.sentences()]
    if lengths and max(lengths)[0] > UNBALANCED * min(lengths)[0]:
        (shortest, other), (longest, name) = min(lengths), max(lengths)
        message = f"{longest} tokens, {other} has {shortest}: length alone may distinguish them"
        yield Finding("warning", "unbalanced", message, name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


SETS = (
    missing_classes, short_classes, same_sentences, repeated_descriptors, shared_descriptors, long_texts,
    unbalanced_lengths,
)  # fmt: skip
