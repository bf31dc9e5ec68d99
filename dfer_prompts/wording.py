"""When two wordings say the same: the normal form of a descriptor."""

from __future__ import annotations

import re

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def normal_form(text: str) -> str:
    """What two wordings of one descriptor share: no case, articles, doubled spaces or final punctuation.

    >>> normal_form("The  Eyebrows raised.")
    'eyebrows raised'
    """
    return " ".join(_ARTICLE.sub(" ", text.casefold()).split()).rstrip(" .,;:!?")
