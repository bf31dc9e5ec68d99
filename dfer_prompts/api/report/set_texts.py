"""The texts: diagnostics without a model, differences between the sets, and the full texts."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...clip_tokens import count_tokens, room
from ...description_set import DescriptionSet, Descriptor, Manifest
from ...errors import InputError
from ...versions.diff import ClassDifference, any_change, diff
from .render import Block, Cell, Folded, Section, Table, cells, paragraph

Texts = Mapping[str, Mapping[str, Any]]  # by set: its `class_names`, and their `texts`


def diagnostics(of: Texts, contexts: int) -> Section:
    """Diagnostics of the words: their number, and the overlap between classes."""
    rows = tuple(cells(name, *_diagnosed(each)) for name, each in of.items() if _texts(each))
    if not rows:
        return Section("diagnostics", "Text diagnostics", ())
    columns = ("set", "texts", "tokens, mean", "different words", "most similar classes")
    limit = room(contexts)
    note = (
        f"Diagnostics of the texts, not accuracy. A text may have {limit} CLIP tokens here. The most similar "
        "classes share the most words (Dice coefficient). For diagnostics with CLIP: "
        "dfer-prompts descriptions score."
    )
    return Section(
        "diagnostics",
        "Text diagnostics",
        (paragraph(note), Table("diagnostics", "Texts of each set", columns, rows, words=(0, 4))),
    )


def _texts(of: Mapping[str, Any]) -> list[str]:
    return [text for members in of["texts"] for text in members]


def _words(texts: Sequence[str]) -> Counter[str]:
    return Counter(re.findall(r"\w+", " ".join(texts).casefold()))


def _diagnosed(of: Mapping[str, Any]) -> list[object]:
    texts = _texts(of)
    lengths = [count_tokens(text) for text in texts]
    repeated = len(texts) - len(set(texts))
    alike, classes = _most_alike(of)
    return [
        Cell(str(len(texts)), f"{repeated} twice" if repeated else ""),
        Cell(f"{sum(lengths) / len(lengths):.1f}", f"max. {max(lengths)}"),
        len(_words(texts)),
        Cell(classes, f"{100 * alike:.0f}% of their words"),
    ]


def _most_alike(of: Mapping[str, Any]) -> tuple[float, str]:
    """The largest share of common words of two classes, and their names."""
    words = [(name, _words(texts)) for name, texts in zip(of["class_names"], of["texts"], strict=True)]
    pairs = [
        (2 * (one & other).total() / max(1, one.total() + other.total()), f"{first}, {second}")
        for (first, one), (second, other) in itertools.combinations(words, 2)
    ]
    return max(pairs, key=lambda pair: pair[0], default=(0.0, "–"))


def between(of: Texts, names: Sequence[str]) -> Section:
    """The differences of each set from the first one."""
    described = {name: found for name in names if name in of and (found := _described(name, of[name]))}
    if len(described) < 2:
        return Section("changes", "Between the sets", ())
    first, *others = described.values()
    blocks: list[Block] = [
        paragraph(f"Parts of the sentences, each set beside {first.name}; reworded parts share a row.")
    ]
    for number, other in enumerate(others):
        different = diff(first, other)
        rows = tuple(row for each in different.classes for row in _changes(each))
        title = f"{first.name} and {other.name}: {different.summary()}"
        columns = ("class", f"in {first.name}", f"in {other.name}")
        table = Table(f"changes-{number}", title, columns, rows, words=(0, 1, 2))
        blocks.append(Folded(title, (table,)) if rows else paragraph(f"{title}."))
    return Section("changes", "Between the sets", tuple(blocks))


def _changes(of: ClassDifference) -> list[tuple[Cell, ...]]:
    return [
        cells(of.class_name, *(each.text if each else "" for each in (change.before, change.after)))
        for member in of.members
        if any_change(member)
        for change in member
        if {"added", "removed", "reworded"} & set(change.kinds)
    ]


def _described(name: str, of: Mapping[str, Any]) -> DescriptionSet | None:
    """The parts of the sentences as a set of descriptors; None without sentences."""
    class_names = tuple(of["class_names"])
    members = {
        each: tuple(
            tuple(Descriptor(part, rank) for rank, part in enumerate(parts(text), start=1)) for text in texts
        )
        for each, texts in zip(class_names, of["texts"], strict=True)
    }
    manifest = Manifest(class_set={"name": "as compared", "class_names": list(class_names)}, source="stored")
    try:
        return DescriptionSet(name, class_names, members, manifest)
    except InputError:
        return None


def parts(sentence: str) -> list[str]:
    """The parts of a sentence, split at semicolons, else at commas, else at a single "and".

    >>> parts("a smiling mouth, raised cheeks, and wrinkled eyes.")
    ['a smiling mouth', 'raised cheeks', 'wrinkled eyes']
    """
    bare = sentence.rstrip(". ")
    mark = ";" if ";" in bare else ","
    found = bare.split(mark) if mark in bare else bare.split(" and ") if bare.count(" and ") == 1 else [bare]
    parts = [re.sub(r"^and\s+", "", each.strip()) for each in found]
    return [each for each in parts if each] or [sentence]


def word_for_word(of: Texts) -> Section:
    """Every text as given to the model."""
    blocks = []
    for number, (name, each) in enumerate(of.items()):
        if not _texts(each):
            continue
        rows = tuple(
            cells(class_name, text)
            for class_name, texts in zip(each["class_names"], each["texts"], strict=True)
            for text in texts
        )
        sha256 = f", sha256 {each['sha256'][:16]}" if each.get("sha256") else ""
        called = name if each["name"] == name else f"{name} ({each['name']})"
        table = Table(f"texts-{number}", f"{called}{sha256}", ("class", "text"), rows, words=(0, 1))
        blocks.append(Folded(f"{called}: {len(rows)} texts", (table,)))
    return Section("texts", "The texts, word for word", tuple(blocks))
