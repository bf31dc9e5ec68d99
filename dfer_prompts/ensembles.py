"""Combine several description sets into one: all their members, or a vote on the descriptors.

Both use the classes that all sets cover, matched by name, in the order of the first set; the derivation of
the result lists the classes left out. Manifest fields that are equal in all sets (model, template, licence,
...) are copied; if the sources differ, the source is "mixed".
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

LARGEST_WEIGHT = 100  # of a member; each repetition is a further prompt for the text tower

_COMMON = (
    "source", "citation", "control", "template", "template_sha256", "template_text", "model", "base_url",
    "sampling",
)  # fmt: skip


def members(sets: Sequence[DescriptionSet], weights: Sequence[float] | None = None) -> DescriptionSet:
    """An unsaved set with the members of all sets in their order: several descriptions per class (the paper's
    Table A).

    A weight applies to each member of its set (default 1). A member of weight 2 is repeated: a class weight
    is the mean over members, so the repetition has the same effect in training and in zero-shot prediction.
    Only the ratios matter (4,2 equals 2,1). Raises InputError for fewer than two sets, a set given twice, no
    common class, and weights that are not whole numbers from 1 to 100.
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
    """An unsaved set of the descriptors of all sets, one member per class; the most frequent first.

    Descriptors with the same normal form are merged. They are ordered by the summed weights of the sets that
    contain them (without weights: their number), then by the mean rank in those sets, then by first
    occurrence. The text is the wording with the largest weight; the others are stored as `wordings`.
    `support` is the number of sets that contain it, of `samples` sets. `top_k` limits the descriptors per
    class (default: all). Raises InputError for fewer than two sets, a set given twice, no common class,
    weights not above 0, and a `top_k` below 1.
    """
    if top_k is not None and top_k < 1:
        raise InputError(f"top {top_k} is not possible; use 1 or more")
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
    """The classes missing from an ensemble because not all of its sets cover them."""
    names: list[str] = draft.manifest.derivation.get("left_out", [])
    return names


@dataclass(frozen=True)
class _Common:
    """The classes that all sets cover, their name in each set, and the classes left out."""

    names_in: dict[str, list[str]]  # the first set's name of a class -> each set's
    left_out: list[str]

    @classmethod
    def of(cls, sets: Sequence[DescriptionSet]) -> _Common:
        if len(sets) < 2:
            raise InputError(f"an ensemble needs two or more description sets, not {len(sets)}")
        names = [each.name for each in sets if each.name]
        for name in names:
            if names.count(name) > 1:
                raise InputError(
                    f"{name} is given {names.count(name)} times\nUse --weights to give a set more weight"
                )
        matches = {
            name: [match_class_name(name, each.class_names) for each in sets[1:]]
            for name in sets[0].class_names
        }
        names_in = {name: [name, *filter(None, found)] for name, found in matches.items() if all(found)}
        if not names_in:
            covered = "; ".join(f"{each.name or 'unsaved'}: {', '.join(each.class_names)}" for each in sets)
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
    """The weights as exact fractions, so that 0.1 + 0.2 equals 0.3."""
    if len(weights) != len(sets):
        raise InputError(f"{len(sets)} description sets and {len(weights)} weights: give one weight per set")
    if not all(math.isfinite(each) and each > 0 for each in weights):
        listed = ", ".join(f"{each:g}" for each in weights)
        raise InputError(f"weights must be numbers above 0: {listed}")
    return [Fraction(str(each)) for each in weights]


def _repeats(weights: Sequence[Fraction]) -> list[int]:
    if any(each.denominator != 1 or each > LARGEST_WEIGHT for each in weights):
        raise InputError(
            f"weights of members must be whole numbers from 1 to {LARGEST_WEIGHT}: a member of weight 2 is "
            "stored twice\nOnly the ratios matter: use 2,1 for 1,0.5"
        )
    shared = math.gcd(*(each.numerator for each in weights))
    return [each.numerator // shared for each in weights]


@dataclass
class _Candidate:
    """One descriptor in the vote: its rank and its wordings in the sets that contain it."""

    ranks: dict[int, int] = field(default_factory=dict)  # index of the set -> best rank in it
    texts: dict[str, Fraction] = field(default_factory=dict)  # -> summed weights
    wordings: dict[str, None] = field(default_factory=dict)  # wordings stored beside the text

    def descriptor(self, rank: int, samples: int) -> Descriptor:
        text = max(self.texts, key=lambda each: self.texts[each])  # ties: the first
        others = dict.fromkeys(sorted(self.texts, key=lambda each: -self.texts[each])) | self.wordings
        return Descriptor(
            text, rank, len(self.ranks), samples, tuple(each for each in others if each != text)
        )


def _elected(
    named: Sequence[Sequence[Sequence[Descriptor]]], votes: Sequence[Fraction], top_k: int | None
) -> tuple[Descriptor, ...]:
    """The descriptors of one class in the order of the vote; `named` holds each set's members."""
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
    """The class set of a set with exactly these classes, else that of the first set without the others."""
    for each in sets:
        if each.class_names == class_names:
            return each.manifest.class_set
    first = sets[0].manifest.class_set
    words = {name: words for name, words in first.get("words", {}).items() if name in class_names}
    merged = {"name": first["name"], "class_names": list(class_names)}
    return {**merged, "words": words} if words else merged
