"""Controls: description sets made meaningless in one known way, matched in length to the original set.

Every control has the same number of members and of descriptors per member as its set. The number of CLIP
tokens of each descriptor (`count_tokens`) is matched as follows:

- `random-words`, `random-characters`, `scrambled`: exactly.
- `swapped`: exactly, but a class has the lengths of the class whose descriptors it received.
- `class-name`, `template-sentence`: as closely as whole repetitions allow. A single repetition may be too
  long: "an expression of happiness" also replaces "tears", with three tokens more.
- `shared-random`: each rank has the mean length over the classes that have it; classes with equally many
  descriptors get the same text. In zero-shot prediction all classes tie; in training, class-specific
  contexts still distinguish them.

Sentences have the length of the set's, except for a comma more or less if a descriptor contains a comma or
an "and" (`description_set.join`).
"""

from __future__ import annotations

import random
import string
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean

from ..classes import default_words
from ..clip_tokens import count_tokens
from ..description_set import DescriptionSet, Descriptor, Manifest, lineage
from ..errors import InputError, unknown

Members = Mapping[str, tuple[tuple[Descriptor, ...], ...]]
Rewrite = Callable[[str, str], str]  # (class name, a descriptor's text) -> another text

DRAWS = 100  # attempts to scramble before the set is rejected


def class_words(of: DescriptionSet, name: str) -> str:
    """The words of a class of the set in a sentence: "anger and disgust" for anger_disgust."""
    words: str = of.manifest.class_set.get("words", {}).get(name, default_words(name))
    return words


def class_name_only(of: DescriptionSet, draw: random.Random) -> Members:  # noqa: ARG001 - nothing is drawn
    """The class's words in place of each descriptor: "happiness happiness" for "raised cheeks"."""
    return _rewritten(of, lambda name, text: _repeated(class_words(of, name), count_tokens(text)))


def template_sentence(of: DescriptionSet, draw: random.Random) -> Members:  # noqa: ARG001 - nothing is drawn
    """A sentence that only names the class, in place of each descriptor: "an expression of happiness"."""
    return _rewritten(
        of, lambda name, text: _repeated(f"an expression of {class_words(of, name)}", count_tokens(text))
    )


def random_words(of: DescriptionSet, draw: random.Random) -> Members:
    """Random common words of one CLIP token each, as many as the descriptor has tokens: "harbor cube"."""
    return _rewritten(of, lambda _, text: " ".join(draw.choices(_common_words(), k=count_tokens(text))))


def random_characters(of: DescriptionSet, draw: random.Random) -> Members:
    """Random letters for each word of a descriptor, with as many tokens as the word: "tm ucx"."""
    return _rewritten(
        of, lambda _, text: " ".join(_letters(count_tokens(word), draw) for word in text.split())
    )


def shared_random(of: DescriptionSet, draw: random.Random) -> Members:
    """The same random words for all classes; a class with fewer descriptors gets the first of them."""
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
    """The words of all classes permuted, each in place of a word with the same number of tokens.

    Words are exchanged between classes: shuffled within a class, they would still describe it. A word with a
    unique number of tokens keeps its place. Raises InputError if every word does.
    """
    pools: dict[int, list[str]] = defaultdict(list)
    for name in of.class_names:
        for member in of.members[name]:
            for word in (word for each in member for word in each.text.split()):
                pools[count_tokens(word)].append(word)
    for _ in range(DRAWS):
        for pool in pools.values():
            draw.shuffle(pool)
        dealt = _assigned(of, {tokens: iter(pool) for tokens, pool in pools.items()})
        if any(_texts(dealt[name]) != _texts(of.members[name]) for name in of.class_names):
            return dealt
    raise InputError("control:scrambled is not possible: no two words have the same number of tokens")


def swapped(of: DescriptionSet, draw: random.Random) -> Members:
    """Each class with the descriptors of another class: a uniformly random derangement."""
    givers = list(of.class_names)
    if len(givers) < 2:
        raise InputError("control:swapped needs at least two classes")
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
    """The control of a set or view, as an unsaved set named "control:swapped", for example.

    The same set and seed always give the same control; the manifest names both. Raises InputError for a name
    that is not in CONTROLS, and for a set for which the control is not possible.
    """
    if name not in CONTROLS:
        raise unknown("control", name, CONTROLS)
    members = CONTROLS[name](of, random.Random(seed))  # noqa: S311 - repeatable, not secret
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


def _assigned(of: DescriptionSet, words: Mapping[int, Iterator[str]]) -> Members:
    """Each word replaced by the next of `words` with the same number of tokens."""
    return _rewritten(of, lambda _, text: " ".join(next(words[count_tokens(word)]) for word in text.split()))


def _texts(members: tuple[tuple[Descriptor, ...], ...]) -> list[list[str]]:
    return [[each.text for each in member] for member in members]


def _repeated(text: str, tokens: int) -> str:
    """`text`, repeated while that brings its number of CLIP tokens nearer to `tokens`."""
    once = count_tokens(text)
    times = 1
    while abs((times + 1) * once - tokens) < abs(times * once - tokens):
        times += 1
    return " ".join([text] * times)


def _letters(tokens: int, draw: random.Random) -> str:
    """Random letters, drawn again until they have exactly `tokens` CLIP tokens."""
    while True:
        length = draw.randint(tokens + 1, 3 * tokens)
        drawn = "".join(draw.choices(string.ascii_lowercase, k=length))
        if count_tokens(drawn) == tokens:
            return drawn


@cache
def _common_words() -> tuple[str, ...]:
    lines = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())
