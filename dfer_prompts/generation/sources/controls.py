"""Controls: description sets made meaningless in one known way, and matched to the set they control.

Every control has the members and the descriptors per member of its set, and the CLIP tokens of each
descriptor, as `count_tokens` counts them, as far as its way allows:

- `random-words`, `random-characters`, `scrambled`: exactly.
- `swapped`: exactly, but a class has the lengths of the class whose descriptors it was given.
- `class-name`, `template-sentence`: as near as whole repetitions come. What is repeated cannot be made
  shorter: "an expression of happiness" stands for "tears" too, three tokens longer.
- `shared-random`: each place in the mean over the classes that have it; classes with as many descriptors are
  given the very same text. Zero-shot that is a tie of all classes; in a training, class-specific contexts
  still tell them apart.

Sentences are then as long as the set's, but for a comma more or less where a descriptor has a comma or an
"and" of its own (`description_set.join`).
"""

from __future__ import annotations

import random
import string
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean

from ...classes import default_words
from ...clip_tokens import count_tokens
from ...description_set import DescriptionSet, Descriptor, Manifest, lineage
from ...errors import InputError, unknown

Members = Mapping[str, tuple[tuple[Descriptor, ...], ...]]
Rewrite = Callable[[str, str], str]  # (class name, a descriptor's text) -> another text

DRAWS = 100  # of a scramble, before it is said that there is nothing to scramble


def class_words(of: DescriptionSet, name: str) -> str:
    """How a sentence says a class of the set: "anger and disgust" for anger_disgust."""
    words: str = of.manifest.class_set.get("words", {}).get(name, default_words(name))
    return words


def class_name_only(of: DescriptionSet, draw: random.Random) -> Members:  # noqa: ARG001 - nothing is drawn
    """The class's own words for each descriptor: "happiness happiness" for "raised cheeks"."""
    return _rewritten(of, lambda name, text: _repeated(class_words(of, name), count_tokens(text)))


def template_sentence(of: DescriptionSet, draw: random.Random) -> Members:  # noqa: ARG001 - nothing is drawn
    """An expression, named and not described, for each descriptor: "an expression of happiness"."""
    return _rewritten(
        of, lambda name, text: _repeated(f"an expression of {class_words(of, name)}", count_tokens(text))
    )


def random_words(of: DescriptionSet, draw: random.Random) -> Members:
    """Common words, one CLIP token each, as many as the descriptor has tokens: "harbor cube"."""
    return _rewritten(of, lambda _, text: " ".join(draw.choices(_common_words(), k=count_tokens(text))))


def random_characters(of: DescriptionSet, draw: random.Random) -> Members:
    """Random letters for each word of a descriptor, of as many tokens as the word: "tm ucx"."""
    return _rewritten(
        of, lambda _, text: " ".join(_letters(count_tokens(word), draw) for word in text.split())
    )


def shared_random(of: DescriptionSet, draw: random.Random) -> Members:
    """The same common words for all classes; a class with fewer descriptors has the first of them."""
    lengths: dict[tuple[int, int], list[int]] = defaultdict(list)
    for name in of.class_names:
        for number, member in enumerate(of.members[name]):
            for each in member:
                lengths[number, each.rank].append(count_tokens(each.text))
    texts = {
        place: " ".join(draw.choices(_common_words(), k=round(fmean(counts))))
        for place, counts in sorted(lengths.items())
    }
    return {
        name: tuple(
            tuple(Descriptor(texts[number, each.rank], each.rank) for each in member)
            for number, member in enumerate(of.members[name])
        )
        for name in of.class_names
    }


def scrambled(of: DescriptionSet, draw: random.Random) -> Members:
    """The words of all classes dealt out anew, each in the place of a word of as many tokens.

    Within one class alone, shuffled words would still be its words and say nearly the same. A word whose
    number of tokens no other has stays where it is. Raises InputError where every word does.
    """
    pools: dict[int, list[str]] = defaultdict(list)
    for name in of.class_names:
        for member in of.members[name]:
            for word in (word for each in member for word in each.text.split()):
                pools[count_tokens(word)].append(word)
    for _ in range(DRAWS):
        for pool in pools.values():
            draw.shuffle(pool)
        dealt = _dealt(of, {tokens: iter(pool) for tokens, pool in pools.items()})
        if any(_texts(dealt[name]) != _texts(of.members[name]) for name in of.class_names):
            return dealt
    raise InputError("control:scrambled has nothing to deal out: no two of the words can change places")


def swapped(of: DescriptionSet, draw: random.Random) -> Members:
    """Each class with the descriptors of another, and none with its own: every derangement is as likely."""
    givers = list(of.class_names)
    if len(givers) < 2:
        raise InputError("control:swapped needs two classes or more: one alone has nobody to swap with")
    while any(giver == taker for giver, taker in zip(givers, of.class_names, strict=True)):
        draw.shuffle(givers)
    return {taker: of.members[giver] for taker, giver in zip(of.class_names, givers, strict=True)}


CONTROLS: dict[str, Callable[[DescriptionSet, random.Random], Members]] = {
    "class-name": class_name_only,
    "template-sentence": template_sentence,
    "random-words": random_words,
    "random-characters": random_characters,
    "shared-random": shared_random,
    "scrambled": scrambled,
    "swapped": swapped,
}


def control_set(name: str, of: DescriptionSet, seed: int = 1) -> DescriptionSet:
    """The control of a set, or of the view of one, as a draft named "control:swapped".

    The same set and seed always give the same control; the manifest names both. Raises InputError for a name
    that is not in CONTROLS, and for a set of which there is no such control.
    """
    if name not in CONTROLS:
        raise unknown("control", name, CONTROLS)
    members = CONTROLS[name](of, random.Random(seed))  # noqa: S311 - to be repeatable, not secret
    manifest = Manifest(
        class_set=of.manifest.class_set,
        source=f"control:{name}",
        license=of.manifest.license,
        control=name,
        derivation={"command": "control", "control": name, "of": of.name, "seed": seed},
        **lineage([of]),
    )
    return DescriptionSet(f"control:{name}", of.class_names, members, manifest)


def _rewritten(of: DescriptionSet, rewrite: Rewrite) -> Members:
    return {
        name: tuple(
            tuple(Descriptor(rewrite(name, each.text), each.rank) for each in member)
            for member in of.members[name]
        )
        for name in of.class_names
    }


def _dealt(of: DescriptionSet, words: Mapping[int, Iterator[str]]) -> Members:
    """Each word's place taken by the next of `words` that has as many tokens."""
    return _rewritten(of, lambda _, text: " ".join(next(words[count_tokens(word)]) for word in text.split()))


def _texts(members: tuple[tuple[Descriptor, ...], ...]) -> list[list[str]]:
    return [[each.text for each in member] for member in members]


def _repeated(text: str, tokens: int) -> str:
    """`text` once, and again while that brings its length in CLIP tokens nearer to `tokens`."""
    once = count_tokens(text)
    times = 1
    while abs((times + 1) * once - tokens) < abs(times * once - tokens):
        times += 1
    return " ".join([text] * times)


def _letters(tokens: int, draw: random.Random) -> str:
    """Random letters, more than one a token, drawn anew until they are `tokens` CLIP tokens."""
    while True:
        length = draw.randint(tokens + 1, 3 * tokens)
        drawn = "".join(draw.choices(string.ascii_lowercase, k=length))
        if count_tokens(drawn) == tokens:
            return drawn


@cache
def _common_words() -> tuple[str, ...]:
    lines = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())
