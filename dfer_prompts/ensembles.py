"""Several description sets made into one: every set a member, or a vote on the descriptors.

Both take the classes that all sets cover, matched by name, in the order of the first set; the derivation of
the result names those left out. What all sets have in common (model, template, licence, ...) stays in the
manifest; sources that differ make a "mixed" one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Any

from .classes import match_class_name
from .description_set import DescriptionSet, Descriptor, Manifest, lineage
from .errors import InputError
from .normalize import normal_form

LARGEST_WEIGHT = 100  # of a member; each repetition is one more prompt for the text tower

_COMMON = (
    "source", "citation", "control", "template", "template_sha256", "template_text", "model", "base_url",
    "sampling",
)  # fmt: skip


def members(sets: Sequence[DescriptionSet], weights: Sequence[float] | None = None) -> DescriptionSet:
    """The members of every set, those of the first set first: several descriptions per class (the paper's
    Table A), as a draft.

    A weight counts for each member of its set, 1 where none is given. A member of weight 2 stands in the
    result twice: a class weight is the mean over members, equal ones have equal prompts, and so every use of
    the result weighs it, a training and a zero-shot answer alike. Only the ratios count (4,2 is 2,1). Raises
    InputError for fewer than two sets, one given twice, no class in common, and weights that are no whole
    numbers from 1 to 100.
    """
    repeats = _repeats(_checked(weights, sets)) if weights is not None else [1] * len(sets)
    common = _Common.of(sets)
    joined = {
        name: tuple(
            member
            for each, own, times in zip(sets, common.names_in[name], repeats, strict=True)
            for member in each.members[own] * times
        )
        for name in common.names_in
    }
    return _draft(sets, common, joined, {"how": "members"}, weights)


def vote(
    sets: Sequence[DescriptionSet], top_k: int | None = None, weights: Sequence[float] | None = None
) -> DescriptionSet:
    """The descriptors of all sets, those that most sets name first, one member per class, as a draft.

    Descriptors with one normal form are one. They are ordered by the summed weights of the sets that name
    them, with no weights by their number; then by the mean rank in those sets; then as they first come. The
    text is the wording of most weight, the others stay beside it. `support` counts the sets that name it, of
    `samples` sets. `top_k` keeps the first of each class, all by default. Raises InputError for fewer than
    two sets, one given twice, no class in common, weights that are not above 0, and a `top_k` below 1.
    """
    if top_k is not None and top_k < 1:
        raise InputError(f"the top {top_k} of a class is nothing; ask for 1 or more")
    votes = _checked(weights, sets) if weights is not None else [Fraction(1)] * len(sets)
    common = _Common.of(sets)
    joined = {
        name: (
            _elected(
                [each.members[own] for each, own in zip(sets, common.names_in[name], strict=True)],
                votes,
                top_k,
            ),
        )
        for name in common.names_in
    }
    how = {"how": "vote"} if top_k is None else {"how": "vote", "top_k": top_k}
    return _draft(sets, common, joined, how, weights)


def left_out(draft: DescriptionSet) -> list[str]:
    """The classes that an ensemble lacks, since not all of its sets cover them."""
    names: list[str] = draft.manifest.derivation.get("left_out", [])
    return names


@dataclass(frozen=True)
class _Common:
    """The classes that all sets cover, what each set calls them, and what is left out."""

    names_in: dict[str, list[str]]  # the first set's name of a class -> each set's
    left_out: list[str]

    @classmethod
    def of(cls, sets: Sequence[DescriptionSet]) -> _Common:
        if len(sets) < 2:
            raise InputError(f"an ensemble is made of two description sets or more, not {len(sets)}")
        names = [each.name for each in sets if each.name]
        for name in names:
            if names.count(name) > 1:
                raise InputError(
                    f"{name} is given {names.count(name)} times\nTo make it count more: --weights"
                )
        matches = {
            name: [match_class_name(name, each.class_names) for each in sets[1:]]
            for name in sets[0].class_names
        }
        names_in = {name: [name, *filter(None, found)] for name, found in matches.items() if all(found)}
        if not names_in:
            covered = "; ".join(f"{each.name or 'a draft'}: {', '.join(each.class_names)}" for each in sets)
            raise InputError(f"the description sets have no class in common\n{covered}")
        left_out: list[str] = []
        for number, each in enumerate(sets):
            used = {own[number] for own in names_in.values()}
            left_out += [
                name
                for name in each.class_names
                if name not in used and match_class_name(name, left_out) is None
            ]
        return cls(names_in, left_out)


def _checked(weights: Sequence[float], sets: Sequence[DescriptionSet]) -> list[Fraction]:
    """The weights as exact numbers: 0.1 and 0.2 are together 0.3."""
    if len(weights) != len(sets):
        raise InputError(f"{len(sets)} description sets and {len(weights)} weights: give one for each set")
    if not all(math.isfinite(each) and each > 0 for each in weights):
        listed = ", ".join(f"{each:g}" for each in weights)
        raise InputError(f"a weight is a number above 0, and these are not all: {listed}")
    return [Fraction(str(each)) for each in weights]


def _repeats(weights: Sequence[Fraction]) -> list[int]:
    if any(each.denominator != 1 or each > LARGEST_WEIGHT for each in weights):
        raise InputError(
            f"members are weighted by whole numbers from 1 to {LARGEST_WEIGHT}: one of weight 2 stands there "
            "twice\nOnly ratios count: for 1,0.5 say 2,1"
        )
    shared = math.gcd(*(each.numerator for each in weights))
    return [each.numerator // shared for each in weights]


@dataclass
class _Candidate:
    """One descriptor in the vote: its rank in each set that names it, and how they word it."""

    ranks: dict[int, int] = field(default_factory=dict)  # number of the set -> the best rank there
    texts: dict[str, Fraction] = field(default_factory=dict)  # -> summed weights
    wordings: dict[str, None] = field(default_factory=dict)  # those the sets keep beside the text

    def descriptor(self, rank: int, samples: int) -> Descriptor:
        text = max(self.texts, key=lambda each: self.texts[each])  # the first of equals
        others = dict.fromkeys(sorted(self.texts, key=lambda each: -self.texts[each])) | self.wordings
        return Descriptor(
            text, rank, len(self.ranks), samples, tuple(each for each in others if each != text)
        )


def _elected(
    named: Sequence[Sequence[Sequence[Descriptor]]], votes: Sequence[Fraction], top_k: int | None
) -> tuple[Descriptor, ...]:
    """The descriptors of one class, of which `named` holds each set's members, in the order of the vote."""
    candidates: dict[str, _Candidate] = {}
    for number, listed in enumerate(named):
        for each in sorted((each for member in listed for each in member), key=lambda each: each.rank):
            found = candidates.setdefault(normal_form(each.text) or each.text, _Candidate())
            if found.ranks.setdefault(number, each.rank) == each.rank:
                found.texts.setdefault(each.text, Fraction(0))
                found.texts[each.text] += votes[number]
            found.wordings |= dict.fromkeys((each.text, *each.wordings))
    ordered = sorted(
        candidates.values(),
        key=lambda each: (-sum(votes[number] for number in each.ranks), fmean(each.ranks.values())),
    )
    return tuple(each.descriptor(place, len(named)) for place, each in enumerate(ordered[:top_k], start=1))


def _draft(
    sets: Sequence[DescriptionSet],
    common: _Common,
    joined: Mapping[str, tuple[tuple[Descriptor, ...], ...]],
    how: Mapping[str, Any],
    weights: Sequence[float] | None,
) -> DescriptionSet:
    derivation = {"command": "ensemble", **how}
    if weights is not None:
        derivation["weights"] = list(weights)
    if common.left_out:
        derivation["left_out"] = common.left_out
    manifests = [each.manifest for each in sets]
    shared = {
        name: getattr(manifests[0], name)
        for name in _COMMON
        if all(getattr(each, name) == getattr(manifests[0], name) for each in manifests)
    }
    manifest = Manifest(
        **{"source": "mixed", **shared},
        class_set=_class_set(sets, tuple(joined)),
        license="; ".join(dict.fromkeys(each.license for each in manifests)),
        derivation=derivation,
        **lineage(sets),
    )
    return DescriptionSet("", tuple(joined), joined, manifest)


def _class_set(sets: Sequence[DescriptionSet], class_names: tuple[str, ...]) -> dict[str, Any]:
    """That of a set with these very classes, else what is left of the first one's."""
    for each in sets:
        if each.class_names == class_names:
            return each.manifest.class_set
    first = sets[0].manifest.class_set
    words = {name: words for name, words in first.get("words", {}).items() if name in class_names}
    kept = {"name": first["name"], "class_names": list(class_names)}
    return {**kept, "words": words} if words else kept
