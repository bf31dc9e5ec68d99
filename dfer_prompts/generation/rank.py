"""Many answers -> ranked descriptors: what the samples agree on, name first, or say of no other class."""

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
    """The first `top_k` descriptors of each class; `answers` holds, per class and answer, those it lists.

    - `support`: what most answers of the class name comes first (Wang et al., Self-Consistency Improves Chain
      of Thought Reasoning, 2023); the mean place in those answers settles ties.
    - `order`: the mean place over all answers of the class; one that does not name the descriptor counts as
      naming it behind the end of the longest answer.
    - `distinctive`: the share of the class's answers that name it, minus the largest share in any other class
      (the difference of proportions of Monroe et al., Fightin' Words, 2008, against the nearest class);
      support settles ties. What another class says as often scores 0, and comes after what only one answer
      of this class says.

    What is equal in all of this keeps the order in which the answers first named it.

    Two wordings with one normal form are one descriptor within a class, and classes are compared by normal
    form; none is taken from one class because another has it. Support counts answers, so one that repeats
    itself counts once. Of the wordings the most frequent is kept as the text, the earlier of two as frequent,
    and the others beside it. Fewer are returned where the answers hold fewer. Raises InputError when `by` is
    none of these.
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
    """What the answers of one class name, by normal form."""

    samples: int
    longest: int
    places: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # one per answer
    wordings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def share(self, form: str) -> Fraction:
        """The share of the answers that name it."""
        return Fraction(len(self.places.get(form, ())), max(self.samples, 1))

    def descriptor(self, form: str, rank: int) -> Descriptor:
        """It as a descriptor."""
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
