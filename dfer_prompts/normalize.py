"""The normal form of a descriptor: two wordings are equal if their normal forms are.

The rule is conservative: a missed merge costs a little support, but opposites are never merged.

- Words are compared by their stem (Porter's English stemmer), so number, tense and "-ly" are ignored:
  "wrinkled cheeks" equals "cheek wrinkling". Distinct: "lower" and "lowered"; "eyebrow", which is one side of
  a face, and "eyebrows".
- Articles, possessives, "both", forms of "be", "that" and "which", "of" and "on" are ignored. Words of degree
  ("slightly") are not: they distinguish surprise from fear.
- Spelling variants are equal: "grey" and "gray", "wide-open" and "wide open", "downturned" and "turned
  downward", "widened" and "wide"; "brow" means eyebrows, as in FACS.
- Word order is ignored if the words describe one part of the face: "eyes wide open" equals "wide open eyes".
  It matters with two parts, two places (upper, inner, one), two opposites ("open mouth closes"), a negation
  or a change over time. Words are not exchanged between clauses: "open eyes and closed mouth" differs from
  "closed eyes and open mouth".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snowballstemmer.english_stemmer import EnglishStemmer

_SPELLINGS = tuple(
    (re.compile(pattern), as_in)
    for pattern, as_in in (
        (r"[’ʼ]", "'"),
        (r"'s\b|s'(?=\s)", "s"),
        (r"\beye[\s-]+(?=brow|lid|lash)", "eye"),
        (r"\b(?:one|single)((?:\s+\w+){0,2}?\s+)(?:eye)?brow\b", r"\1eyebrow"),
        (r"\b(left|right)\s+brow\b", r"\1 eyebrow"),
        (r"\b(inner|outer|middle)\s+eyebrow\b", r"\1 eyebrows"),
        (r"\bbrows?\b", "eyebrows"),
        (r"\bgrey", "gray"),
        (r"\bcolour", "color"),
        (r"\bcentre", "center"),
        (r"\b(down|up)(?=turned\b)", r"\1 "),
        (r"\b(down|up|in|out|back)wards?\b", r"\1"),
        (r"[,;:]", " , "),
    )
)
_SILENT = {
    "a", "an", "the", "his", "her", "its", "their", "both", "is", "are", "was", "were", "be", "been",
    "being", "has", "have", "that", "which", "of", "on",
}  # fmt: skip
_BREAKS = {",", "and", "with", "but", "while"}
_ORDERED = {
    "no", "not", "never", "without", "barely", "hardly", "scarcely", "than", "then", "before", "after",
    "until", "from", "to", "into", "first", "rather", "but", "while", "become", "becomes", "becoming",
    "replace", "replaces", "replaced", "replacing", "follow", "follows", "followed", "following", "precedes",
    "preceded", "preceding",
}  # fmt: skip
_PLACES = {
    "upper", "lower", "inner", "outer", "left", "right", "one", "other", "another", "second", "higher",
    "top", "bottom", "front", "inside", "outside",
}  # fmt: skip
_PART = re.compile(
    r"(?:eye|eyebrow|eyelid|lid|eyelash|lash|pupil|mouth|lip|tongue|jaw|chin|cheek|nostril|nose|forehead|face|"
    r"head|neck|smile|frown|gaze|stare|glare|tear)s?|iris(?:es)?|tooth|teeth|(?:eye)?lashes"
)
_STEMS = {  # words that the stemmer must not change or does not know
    **{word: word for word in ("eyebrow", "eyebrows", "barely", "hardly", "scarcely", "partly")},
    **dict.fromkeys(("lowers", "lowered", "lowering"), "lowered"),
    "drawn": "draw",
    "droopy": "droop",
    "slowly": "slow",
    "teeth": "tooth",
}
_STATES = {  # stems of becoming -> stems of being
    "brighten": "bright", "darken": "dark", "flatten": "flat", "harden": "hard", "loosen": "loos",
    "moisten": "moist", "redden": "red", "slacken": "slack", "soften": "soft", "stiffen": "stiff",
    "straighten": "straight", "tighten": "tight", "widen": "wide",
}  # fmt: skip
_OPPOSITES = (  # stems: with one of each side in a clause, "wide eyes narrow" is not "narrow eyes widen"
    ({"open", "part", "drop"}, {"close", "shut", "press", "seal", "clench"}),
    ({"wide", "big", "larg", "dilat"}, {"narrow", "squint", "small", "constrict"}),
    ({"rais", "rise", "lift", "up", "arch"}, {"lowered", "drop", "fall", "down", "sag", "droop"}),
    ({"tight", "tens", "clench", "hard", "stiff", "press"}, {"relax", "loos", "soft", "slack", "part"}),
    ({"furrow", "wrinkl", "creas", "knit"}, {"smooth", "relax"}),
    ({"bright"}, {"dark", "dull", "dim"}),
    ({"flush", "red"}, {"pale"}),
    ({"wet", "moist"}, {"dri"}),
    ({"steadi", "still"}, {"waver", "move"}),
    ({"quick", "fast", "rapid", "sudden"}, {"slow", "gradual"}),
    ({"grow", "appear", "rise"}, {"fade", "disappear", "fall", "vanish"}),
)


@lru_cache(maxsize=65536)
def normal_form(text: str) -> str:
    """The key that all wordings of one descriptor share, by the rule above; not meant for display.

    >>> normal_form("Eyebrows that are raised.") == normal_form("the raised eyebrows") == "eyebrows rais"
    True
    """
    words = _words(text)
    clauses = [clause for clause in _clauses(words) if clause]
    ordered = not _ORDERED.isdisjoint(words)
    if not ordered and sum(bool(_parts(clause)) or len(clause) > 1 for clause in clauses) <= 1:
        clauses = [[word for clause in clauses for word in clause]]
    forms = [_form(clause, in_order=ordered) for clause in clauses]
    if not ordered and all(_parts(clause) == 1 for clause in clauses):
        forms.sort()
    return ", ".join(forms)


def stems(text: str) -> list[str]:
    """The stems of the words of a text in order, without ignored words.

    >>> stems("A joyfully raised eyebrow")
    ['joy', 'rais', 'eyebrow']
    """
    return [_stem(word) for word in _words(text) if word not in _BREAKS]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    for pattern, as_in in _SPELLINGS:
        plain = pattern.sub(as_in, plain)
    letters = "".join(
        char if char == "," or unicodedata.category(char)[0] in "LMN" else " " for char in plain
    )
    return [word for word in letters.split() if word not in _SILENT]


def _clauses(words: Sequence[str]) -> list[list[str]]:
    clauses: list[list[str]] = [[]]
    for word in words:
        if word in _BREAKS:
            clauses.append([])
        else:
            clauses[-1].append(word)
    return clauses


def _parts(clause: Sequence[str]) -> int:
    return sum(bool(_PART.fullmatch(word)) for word in clause)


def _form(clause: Sequence[str], *, in_order: bool) -> str:
    stems = [_stem(word) for word in clause]
    places = sum(word in _PLACES for word in clause)
    in_order = in_order or _parts(clause) > 1 or places > 1 or _has_opposites(stems)
    return " ".join(stems if in_order else sorted(set(stems)))


def _has_opposites(stems: Sequence[str]) -> bool:
    return any(not one.isdisjoint(stems) and not other.isdisjoint(stems) for one, other in _OPPOSITES)


@cache
def _stem(word: str) -> str:
    if word in _STEMS:
        return _STEMS[word]
    stem: str = _stemmer().stemWord(word)
    if stem.endswith("ili"):  # "angrily", which is left as "angrili", beside "angri"
        stem = stem.removesuffix("li")
    return _STATES.get(stem, stem)


@cache
def _stemmer() -> EnglishStemmer:
    from snowballstemmer.english_stemmer import EnglishStemmer

    return EnglishStemmer()
