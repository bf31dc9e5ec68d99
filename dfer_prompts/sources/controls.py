"""Controls: description sets made meaningless in one known way, and matched to the set they control."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from ..classes import default_words
from ..description_set import DescriptionSet, Descriptor, Manifest
from ..errors import InputError, unknown

Members = Mapping[str, tuple[tuple[Descriptor, ...], ...]]


def class_name_only(of: DescriptionSet, draw: random.Random) -> Members:  # noqa: ARG001 - nothing is drawn
    """Each class described by its own words alone: "anger and disgust."."""
    words = of.manifest.class_set.get("words", {})
    return {name: ((Descriptor(words.get(name, default_words(name)), 1),),) for name in of.class_names}


def swapped(of: DescriptionSet, draw: random.Random) -> Members:
    """Each class with the descriptors of another, and none with its own: every derangement is as likely."""
    givers = list(of.class_names)
    if len(givers) < 2:
        raise InputError("control:swapped needs two classes or more: one alone has nobody to swap with")
    while any(giver == taker for giver, taker in zip(givers, of.class_names, strict=True)):
        draw.shuffle(givers)
    return {taker: of.members[giver] for taker, giver in zip(of.class_names, givers, strict=True)}


def scrambled(of: DescriptionSet, draw: random.Random) -> Members:
    """The words of all classes dealt out anew: as many per descriptor and descriptors per class as before.

    Within one class alone, shuffled words would still be its words and say nearly the same.
    """
    pool = [
        word
        for name in of.class_names
        for member in of.members[name]
        for each in member
        for word in each.text.split()
    ]
    draw.shuffle(pool)
    words = iter(pool)
    return {name: tuple(_dealt(member, words) for member in of.members[name]) for name in of.class_names}


CONTROLS: dict[str, Callable[[DescriptionSet, random.Random], Members]] = {
    "class-name": class_name_only,
    "swapped": swapped,
    "scrambled": scrambled,
}


def control_set(name: str, of: DescriptionSet, seed: int = 1) -> DescriptionSet:
    """The control of a set, or of the view of one, as a draft named "control:swapped".

    The same set and seed always give the same control. Raises InputError for a name that is not in CONTROLS.
    """
    if name not in CONTROLS:
        raise unknown("control", name, CONTROLS)
    members = CONTROLS[name](of, random.Random(seed))  # noqa: S311 - to be repeatable, not secret
    manifest = Manifest(
        class_set=of.manifest.class_set,
        source=f"control:{name}",
        control=name,
        parents=[of.name] if of.name else [],
        sampling={"seed": seed},
    )
    return DescriptionSet(f"control:{name}", of.class_names, members, manifest)


def _dealt(member: tuple[Descriptor, ...], words: Iterator[str]) -> tuple[Descriptor, ...]:
    return tuple(
        Descriptor(" ".join(next(words) for _ in each.text.split()), rank)
        for rank, each in enumerate(member, start=1)
    )
