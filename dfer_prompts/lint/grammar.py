"""Grammar checks of descriptors, which are joined into one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..errors import listed
from .findings import Finding, Level, Subject

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
