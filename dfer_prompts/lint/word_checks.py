"""Vocabulary checks of descriptors: class names, features invisible in a video, codes, other scripts.

Grammar checks of descriptors, which are joined into one sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..classes import aliases, compound_parts
from ..errors import listed
from ..normalize import stems
from ..yaml_files import load_yaml
from .set_checks import Finding, Level, Subject

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
        words = stems(text)
        own = _contains_any(words, names[name])
        synonym = _contains_any(words, synonyms[name])
        others = [other for other in of.class_names if _contains_any(words, names[other] - names[name])]
        alike = [other for other in of.class_names if _contains_any(words, synonyms[other])]
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


def _contains_any(words: Sequence[str], names: frozenset[_Stems]) -> bool:
    runs = {tuple(words[start : start + len(name)]) for name in names for start in range(len(words))}
    return not names.isdisjoint(runs - {()})


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})s?\b", re.IGNORECASE)


WORDS = (class_names, invisible, codes, scripts)


_SINGULAR = (
    r"mouth|nose|forehead|chin|jaw|brow|eyebrow|eye|lip|cheek|nostril|eyelid|face|tongue|smile|frown|grin|smirk|"
    r"sneer|gaze|stare|glare|head"
)
_PLURAL = r"eyes|eyebrows|brows|lips|cheeks|nostrils|teeth|eyelids|lids|pupils|muscles|wrinkles|corners|tears"
_SMALL = (
    r"an?|the|one|each|every|no|his|her|its|their|either|another|any|of|with|and|or|in|on|at|to|by|from|into|over|"
    r"under|above|below|between|across|around|near"
)
_SPOKEN_Y = r"(?:uni(?!n|m)|u(?:sual|seful|s[ei]|-)|eu|one\b|once\b)"  # a vowel in spelling only
_SPOKEN_VOWEL = r"(?:hour|honest|heir|honou?r)"

_MANY = (
    rf"\b(?:an?|one|each|every|single)\s+(?:(?!(?:{_SINGULAR}|{_SMALL}|few|lot|set|pair|row|hint)\b)[\w-]+\s+)"
    rf"{{0,2}}(?:{_PLURAL})\b(?!-)"
)
_BARE = re.compile(rf"(?:(?!(?:{_SMALL})\b)[\w-]+,?\s+){{0,3}}(?:{_SINGULAR})", re.IGNORECASE)
_AN = re.compile(rf"\ba\s+(?=[aeiou])(?!{_SPOKEN_Y})[\w-]+|\ba\s+{_SPOKEN_VOWEL}\w*", re.IGNORECASE)
_A = re.compile(rf"\ban\s+(?:(?![aeiou]|{_SPOKEN_VOWEL})[a-z](?!-)|{_SPOKEN_Y})[\w-]*", re.IGNORECASE)
_SENTENCE = re.compile(
    r"^(?!.*\b(?:that|which|who|as if|where)\b).*\b(?:is|are|was|were|has|have|may|can|could|might|will|"
    r"would|should|appears?|becomes?|seems?|shows|tends)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(?:I|I'm|I've|[Mm]y|[Mm]e|[Ww]e|[Oo]ur|[Yy]ou|[Yy]our)\b")
_OWNER = re.compile(r"\b(?:his|her|its|their)\b", re.IGNORECASE)


def _searched(pattern: str, message: str) -> Callable[[str], str | None]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def problem(text: str) -> str | None:
        found = compiled.search(text)
        return message.format(found[0].strip()) if found else None

    return problem


def _unbalanced(text: str) -> str | None:
    open_, waiting = {")": "(", "]": "[", "}": "{"}, []
    for char in text:
        if char in open_.values():
            waiting.append(char)
        elif char in open_ and (not waiting or waiting.pop() != open_[char]):
            return f"unmatched {char!r}"
    if waiting:
        return f"unclosed {waiting[-1]!r}"
    return "unmatched quotation mark" if text.count('"') % 2 else None


def _wrong_article(text: str) -> str | None:
    found = _AN.search(text) or _A.search(text)
    if found is None:
        return None
    article, word = found[0].split()
    return f"{found[0]!r}: use {'an' if article.lower() == 'a' else 'a'} {word}"


def _sentence(text: str) -> str | None:
    found = _SENTENCE.search(text)
    return "a sentence; the other descriptors name a feature" if found else None


def _person(text: str) -> str | None:
    found = _PERSON.search(text)
    return f"{found[0]!r} refers to an observer" if found else None


def _owner(text: str) -> str | None:
    found = _OWNER.search(text)
    return f"{found[0]!r} has no antecedent in the sentence; use 'the'" if found else None


_PROBLEMS: dict[str, tuple[Level, Callable[[str], str | None]]] = {
    "repeated-word": ("warning", _searched(r"\b([^\W\d_]+)\s+\1\b", "repeated word {!r}")),
    "two-articles": ("warning", _searched(r"\b(?:an?|the)\s+(?:an?|the)\b", "two articles: {!r}")),
    "wrong-article": ("warning", _wrong_article),
    "wrong-number": ("warning", _searched(_MANY, "{!r}: singular and plural do not agree")),
    "cut-off": (
        "warning",
        _searched(
            r"\b(?:and|or|but|with|without|of|at|to|from|by|for|into|between|under|like|as|than|that|which|the|an?|is|"
            r"are|while|very)[\s.]*$|-$|\.\.\.$|…$",
            "ends with {!r}, may be cut off",
        ),
    ),
    "begins-amid": (
        "warning",
        _searched(r"^(?:and|or|but|of|that|which|also|then)\b", "begins with {!r}"),
    ),
    "brackets": ("warning", _unbalanced),
    "markup": (
        "warning",
        _searched(r"\*\*|[`<>|{}#]|_{2,}|https?:|\]\(", "{!r} is markup"),
    ),
    "person": ("warning", _person),
    "sentence": ("warning", _sentence),
    "owner": ("note", _owner),
}


def grammar(of: Subject) -> Iterator[Finding]:
    """Grammar findings. The only descriptor of a member may be a sentence."""
    for name, number, text in of.texts():
        alone = len(of.descriptions.members[name][number]) == 1
        for rule, (level, problem) in _PROBLEMS.items():
            if alone and rule in ("sentence", "owner"):
                continue
            message = problem(text)
            if message:
                yield Finding(level, rule, message, name, number, text)


def articles(of: Subject) -> Iterator[Finding]:
    """One note for all features without "a" or "the", because whole sets are often written this way."""
    bare = list(dict.fromkeys(text for _, _, text in of.texts() if _BARE.fullmatch(text)))
    if bare:
        yield Finding("note", "no-article", f"without 'a' or 'the': {listed(list(map(repr, bare)))}")


GRAMMAR = (grammar, articles)
