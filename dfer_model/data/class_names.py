"""The class names of the datasets, in label order, and their aliases in the datasets' files.

Order of the seven: DFEW's label numbers 1..7 (Jiang et al. 2020); of the eleven: DFER-CLIP's lists (Zhao &
Patras 2023). The 32 compound classes are those of MAFW's split files (Liu et al. 2022), alphabetically.
"""

from __future__ import annotations

import unicodedata

SEVEN = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
ELEVEN = (*SEVEN, "contempt", "anxiety", "helplessness", "disappointment")
COMPOUND = (
    *ELEVEN,
    "anger_anxiety",
    "anger_disgust",
    "anger_disgust_anxiety",
    "anger_disgust_contempt",
    "anger_helplessness",
    "anger_sadness",
    "anger_surprise",
    "anxiety_helplessness",
    "anxiety_helplessness_disappointment",
    "disgust_anxiety",
    "disgust_anxiety_helplessness",
    "disgust_contempt",
    "disgust_disappointment",
    "disgust_helplessness",
    "disgust_helplessness_disappointment",
    "disgust_sadness",
    "disgust_surprise",
    "fear_anxiety",
    "fear_sadness",
    "fear_sadness_anxiety",
    "fear_surprise",
    "fear_surprise_anxiety",
    "happiness_contempt",
    "happiness_surprise",
    "helplessness_disappointment",
    "sadness_anxiety",
    "sadness_anxiety_helplessness",
    "sadness_disappointment",
    "sadness_helplessness",
    "sadness_helplessness_disappointment",
    "sadness_surprise",
    "surprise_anxiety",
)
_ALIASES = {
    "happiness": ("happy", "joy", "joyful"),
    "sadness": ("sad",),
    "neutral": ("neutrality",),
    "anger": ("angry",),
    "surprise": ("surprised",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "contempt": ("contemptuous",),
    "anxiety": ("anxious",),
    "helplessness": ("helpless",),
    "disappointment": ("disappointed",),
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
_BY_PARTS = {frozenset(name.split("_")): name for name in COMPOUND}


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC); macOS returns folder names in the decomposed form."""
    return unicodedata.normalize("NFC", name)


def canonical_name(text: str) -> str | None:
    """The canonical name of a class ("Happy" is "happiness"), None for an unknown name.

    A compound class may name its parts in any order, joined by `_`: "Disgust_Angry" is "anger_disgust".
    """
    parts = [_CANONICAL.get(part) for part in composed(text).strip().casefold().split("_")]
    known = frozenset(part for part in parts if part is not None)
    return _BY_PARTS.get(known) if len(known) == len(parts) else None
