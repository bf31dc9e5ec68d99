"""Many answers -> ranked descriptors: what most of the samples named comes first."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean

from .description_set import Descriptor

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def normal_form(text: str) -> str:
    """What two wordings of one descriptor share: no case, articles, doubled spaces or final punctuation.

    >>> normal_form("The  Eyebrows raised.")
    'eyebrows raised'
    """
    return " ".join(_ARTICLE.sub(" ", text.casefold()).split()).rstrip(" .,;:!?")


def rank(answers: Sequence[Sequence[str]], top_k: int) -> list[Descriptor]:
    """The `top_k` descriptors most answers named, ties settled by their mean position in those answers.

    Support counts answers, so one that repeats itself counts once. Of the wordings of a descriptor the most
    frequent is kept, the earlier of two as frequent. Fewer are returned where the answers hold fewer.
    """
    positions: dict[str, list[int]] = defaultdict(list)
    wordings: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        seen = set()
        for position, text in enumerate(answer):
            form = normal_form(text)
            wordings[form][text] += 1
            if form not in seen:
                positions[form].append(position)
            seen.add(form)
    forms = [form for form in positions if form]
    forms.sort(key=lambda form: (-len(positions[form]), fmean(positions[form])))
    return [
        Descriptor(wordings[form].most_common(1)[0][0], place, len(positions[form]), len(answers))
        for place, form in enumerate(forms[: max(top_k, 0)], start=1)
    ]
