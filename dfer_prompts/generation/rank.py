"""Rank the descriptors of several answers: by support, by order, or by distinctiveness."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Literal

from ..description_set import Descriptor
from ..errors import unknown
from ..normalize import normal_form

Ranking = Literal["support", "order", "distinctive"]


def rank(
    answers: Sequence[Sequence[str]], top_k: int, by: Literal["support", "order"] = "support"
) -> list[Descriptor]:
    """The first `top_k` descriptors of one class, as `rank_classes` ranks them."""
    return rank_classes({"": answers}, top_k, by)[""]


def rank_classes(
    answers: Mapping[str, Sequence[Sequence[str]]], top_k: int, by: Ranking = "support"
) -> dict[str, list[Descriptor]]:
    """The first `top_k` descriptors of each class; `answers` holds the descriptors per class and answer.

    - `support`: by the number of answers of the class that contain the descriptor (Wang et al.,
      Self-Consistency Improves Chain of Thought Reasoning, 2023); ties by the mean position in those answers.
    - `order`: by the mean position over all answers of the class; an answer without the descriptor counts as
      the position after the end of the longest answer.
    - `distinctive`: by the share of the class's answers that contain it, minus the largest share in any other
      class (the difference of proportions of Monroe et al., Fightin' Words, 2008, against the nearest class);
      ties by support. A descriptor that is as frequent in another class scores 0 and ranks below one that
      occurs in a single answer of this class only.

    Remaining ties keep the order of first occurrence.

    Wordings with the same normal form are one descriptor within a class, and classes are compared by normal
    form; a descriptor is not removed from one class because another has it. Support counts answers, so
    repetitions within an answer count once. The text is the most frequent wording (ties: the earliest); the
    others are stored as `wordings`. Fewer are returned if the answers have fewer. Raises InputError for an
    unknown `by`.
    """
    if by not in _KEYS:
        raise unknown("ranking", by, _KEYS)
    tallies = {name: _tally(listed) for name, listed in answers.items()}
    ranked = {}
    for name, tally in tallies.items():
        others = [other for each, other in tallies.items() if each != name]
        forms = sorted(tally.places, key=lambda form: _KEYS[by](form, tally, others))
        ranked[name] = [
            tally.descriptor(form, place) for place, form in enumerate(forms[: max(top_k, 0)], start=1)
        ]
    return ranked


@dataclass
class _Tally:
    """Occurrences of descriptors in the answers of one class, by normal form."""

    samples: int
    longest: int
    places: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # one per answer
    wordings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def share(self, form: str) -> Fraction:
        """The share of the answers that contain it."""
        return Fraction(len(self.places.get(form, ())), max(self.samples, 1))

    def descriptor(self, form: str, rank: int) -> Descriptor:
        """The descriptor of this normal form, with this rank."""
        text, *others = (wording for wording, _ in self.wordings[form].most_common())
        return Descriptor(text, rank, len(self.places[form]), self.samples, tuple(others))


def _tally(answers: Sequence[Sequence[str]]) -> _Tally:
    tally = _Tally(len(answers), max(map(len, answers), default=0))
    for answer in answers:
        seen = {""}
        for place, text in enumerate(answer):
            form = normal_form(text)
            if form:
                tally.wordings[form][text] += 1
            if form not in seen:
                tally.places[form].append(place)
            seen.add(form)
    return tally


def _by_support(form: str, tally: _Tally, others: Sequence[_Tally]) -> tuple[float, ...]:  # noqa: ARG001
    return -len(tally.places[form]), fmean(tally.places[form])


def _by_order(form: str, tally: _Tally, others: Sequence[_Tally]) -> tuple[float, ...]:  # noqa: ARG001
    places = tally.places[form]
    return (fmean(places + [tally.longest] * (tally.samples - len(places))),)


def _by_distinction(form: str, tally: _Tally, others: Sequence[_Tally]) -> tuple[float | Fraction, ...]:
    elsewhere = max((other.share(form) for other in others), default=Fraction(0))
    return elsewhere - tally.share(form), *_by_support(form, tally, others)


_KEYS: dict[str, Callable[[str, _Tally, Sequence[_Tally]], tuple[float | Fraction, ...]]] = {
    "support": _by_support,
    "order": _by_order,
    "distinctive": _by_distinction,
}
