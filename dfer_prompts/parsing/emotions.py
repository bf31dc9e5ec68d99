"""Which class a label, heading or sentence is about, by names, aliases and synonyms of classes."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from ..classes import aliases, compound_parts
from ..lint.word_checks import synonyms

_CONTRAST = re.compile(
    r"\b(?:vs|versus|unlike|from|than|compared|contrast|distinguish\w*|differ\w*|opposed|not)\b",
    re.IGNORECASE,
)
_VERBS = (
    r"shows?|has|have|is|are|involves?|includes?|features|displays?|exhibits?|(?:typically|often|usually|generally)|"
    r"tends?|produces?|brings?|raises?|lowers?|can|may|might|will|would|\w{2,12}s(?=\s+(?:the|a|an|both|its|their)\s)"
)


def is_about_another(label: str, class_name: str | None) -> bool:
    """Whether a label or heading names only other classes than `class_name`: "Features of fear:".

    A contrast ("vs. fear") is about `class_name`.
    """
    if class_name is None or _CONTRAST.search(label):
        return False
    named = _named(label)
    return bool(named) and not named & _own(class_name) and not _spells(label, class_name)


def names_class(label: str, class_name: str | None) -> bool:
    """Whether a label or heading names `class_name`."""
    return class_name is not None and bool(_named(label) & _own(class_name) or _spells(label, class_name))


def is_emotion(text: str) -> bool:
    """Whether the text is one word for an emotion."""
    return bool(_patterns()[0].fullmatch(text.strip()))


def is_sentence_on_another(sentence: str, class_name: str | None) -> bool:
    """Whether a sentence is about another class: "In contrast, anger shows lowered brows."."""
    opening = _patterns()[1].match(sentence) if class_name is not None else None
    return opening is not None and is_about_another(opening["emotion"], class_name)


def is_talk(text: str) -> bool:
    """Whether the text is a statement about an emotion: "Anxiety is more subtle"."""
    opening = _patterns()[1].match(text)
    return opening is not None and opening["verb"] is not None


def without_opening(text: str) -> str:
    """ "In fear the brows are flat" -> "the brows are flat"."""
    opening = _patterns()[1].match(text)
    return text[opening.end() :] if opening and opening["subject"] is not None else text


@cache
def _classes() -> dict[str, str]:
    """Each name, alias and synonym -> its class."""
    listed = synonyms()
    return {
        word.casefold(): name for name, others in listed.items() for word in (name, *aliases(name), *others)
    }


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A pattern for emotion words, and one for sentences that begin with such a word."""
    words = "|".join(sorted(map(re.escape, _classes()), key=len, reverse=True))
    found = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    opening = re.compile(
        r"^(?:(?:in contrast|by contrast|by comparison|however|meanwhile|on the other hand|but|while|whereas|"
        r"similarly|likewise|and)\b[,\s]*)*"
        r"(?:(?P<inside>in|for|with|during)\s+)?(?:the\s+)?(?:(?:expression|face)s?\s+of\s+)?"
        rf"(?P<emotion>{words})"
        rf"(?:\s+(?P<verb>{_VERBS})\b|(?(inside),\s|,\s+(?:on the other hand|by contrast|"
        r"in contrast|however)\b)"
        r"|(?P<subject>(?(inside)\s+(?=(?:the|their|both|an?)\s)|(?!))))",
        re.IGNORECASE,
    )
    return found, opening


def _named(text: str) -> set[str]:
    return {_classes()[word.casefold()] for word in _patterns()[0].findall(text)}


@lru_cache(maxsize=64)
def _own(class_name: str) -> frozenset[str]:
    own = {_classes().get(part.casefold(), part) for part in compound_parts(class_name)}
    return frozenset(own | _named(class_name.replace("_", " ")))


def _spells(label: str, class_name: str) -> bool:
    plain = class_name.replace("_", " ").casefold().strip()
    return bool(plain) and re.search(rf"\b{re.escape(plain)}\b", label.casefold()) is not None
