"""Vocabulary checks of descriptors: class names, features invisible in a video, codes, other scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..classes import aliases, compound_parts
from ..errors import listed
from ..normalize import stems
from ..yaml_files import load_yaml
from .findings import Finding, Subject

_FACE = re.compile(
    r"\b(?:face|mouth|lip|chin|cheek|nose|eye|eyebrow|brow|forehead|jaw|temple|ear|head)s?\b", re.IGNORECASE
)
_CODE = re.compile(r"\bAUs?\s*\d+\w*|\d+\w*", re.IGNORECASE)

_Stems = tuple[str, ...]


class _Invisible(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    level: Literal["warning", "note"]
    reason: str
    in_front: str | None = None
    words: list[str]
    but_not: list[str] = Field(default=[], alias="except")


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    synonyms: dict[str, list[str]]
    invisible: list[_Invisible]


@cache
def _table() -> _Words:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return _Words.model_validate(load_yaml(text))


def class_names(of: Subject) -> Iterator[Finding]:
    """Descriptors that contain the name or a synonym of their class or of another one.

    Such a set measures what CLIP knows about the name, not about the features.
    """
    names = {name: _names(name, of) for name in of.class_names}
    synonyms = {name: _synonyms(name) for name in of.class_names}
    for name, number, text in of.texts():
        said = stems(text)
        own = _said(said, names[name])
        synonym = _said(said, synonyms[name])
        others = [other for other in of.class_names if _said(said, names[other] - names[name])]
        alike = [other for other in of.class_names if _said(said, synonyms[other])]
        if own:
            yield Finding("warning", "class-name", "names its class", name, number, text)
        elif synonym:
            yield Finding("warning", "class-name", "contains a synonym of its class", name, number, text)
        if others:
            message = f"names another class: {listed(others)}"
            yield Finding("warning", "other-class", message, name, number, text)
        elif alike and not own and not synonym:
            message = f"contains a synonym of another class: {listed(alike)}"
            yield Finding("warning", "other-class", message, name, number, text)


def invisible(of: Subject) -> Iterator[Finding]:
    """Descriptors of features that a video of a face does not show, by the table in `word_checks.yaml`."""
    patterns = [(each, _pattern(each.words), _pattern(each.but_not)) for each in _table().invisible]
    for name, number, text in of.texts():
        for each, words, but_not in patterns:
            found = words.search(but_not.sub("", text) if each.but_not else text)
            if found is None:
                continue
            in_front = each.in_front if _FACE.search(text) else None
            message = f"{found[0]!r}: {in_front or each.reason}"
            yield Finding("note" if in_front else each.level, "not-visible", message, name, number, text)
            break


def codes(of: Subject) -> Iterator[Finding]:
    """Digits and FACS codes, which are rare in image captions."""
    for name, number, text in of.texts():
        if found := _CODE.search(text):
            message = f"{found[0]!r}: CLIP was trained on captions; use words"
            yield Finding("warning", "code", message, name, number, text)


def scripts(of: Subject) -> Iterator[Finding]:
    """Non-Latin letters: CLIP's vocabulary is English."""
    for name, number, text in of.texts():
        foreign = [each for each in text if each.isalpha() and "LATIN" not in unicodedata.name(each, "LATIN")]
        if foreign:
            message = f"{foreign[0]!r} is not a Latin letter; CLIP's vocabulary is English"
            yield Finding("warning", "script", message, name, number, text)


def synonyms() -> dict[str, list[str]]:
    """Synonyms of each single class, without its name and aliases."""
    return _table().synonyms


def _names(name: str, of: Subject) -> frozenset[_Stems]:
    """The names of a class, each as the stems of its words; for a compound class also those of its parts."""
    words = of.descriptions.manifest.class_set.get("words", {})
    own = of.asked.resolve(name).aliases if of.asked else ()
    named = [name, words.get(name, name), *own]
    for part in compound_parts(name):
        named += [part, *aliases(part)]
    return frozenset(tuple(stems(each.replace("_", " "))) for each in named)


def _synonyms(name: str) -> frozenset[_Stems]:
    listed = (_table().synonyms.get(part, []) for part in compound_parts(name))
    return frozenset(tuple(stems(word)) for words in listed for word in words)


def _said(said: Sequence[str], names: frozenset[_Stems]) -> bool:
    runs = {tuple(said[start : start + len(name)]) for name in names for start in range(len(said))}
    return not names.isdisjoint(runs - {()})


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})s?\b", re.IGNORECASE)


WORDS = (class_names, invisible, codes, scripts)
