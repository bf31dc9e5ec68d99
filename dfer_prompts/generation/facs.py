"""Descriptors without a language model: the appearance of FACS action units, from the table `facs.yaml`.

The table states the evidence for the action units of each class. It is weak for anxiety, and only an analogy
for helplessness and disappointment.

`sentence_set` makes baselines without a description: one sentence that names the class. The paper's Table 3
compares the descriptors with the class name alone and "a photo of [class]".
"""

from __future__ import annotations

from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..classes import ClassSet, ExpressionClass, compound_parts
from ..description_set import DescriptionSet, Descriptor, Manifest
from ..errors import InputError
from ..normalize import normal_form
from ..yaml_files import load_yaml

PLACE = "{class}"  # of the class's words in a sentence
MOST = 8  # default descriptors per class: with 8 context vectors they fit CLIP's 77 tokens


class Look(BaseModel):
    """The appearance of some action units; no units if it is their absence."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    units: tuple[int, ...]
    visible: str


class Entry(BaseModel):
    """The table's entry for one class: appearances, the most characteristic first, and their evidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    basis: Literal["strong", "moderate", "none"]
    references: tuple[str, ...]
    note: str
    looks: tuple[Look, ...]


class Table(BaseModel):
    """References by key, names of the action units by number, and an entry per class."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    references: dict[str, str]
    action_units: dict[int, str]
    classes: dict[str, Entry]


@cache
def facs_table() -> Table:
    """The shipped table."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return Table.model_validate(load_yaml(text))


def facs_set(class_set: ClassSet, top_k: int | None = None) -> DescriptionSet:
    """An unsaved set with the appearances of each class; a compound class alternates between its parts.

    `top_k` limits the descriptors per class (default: at most 8, which only compound classes exceed). Raises
    InputError that names a class that the table does not contain or that has fewer.
    """
    parts = {each.name: _parts(each) for each in class_set.classes}
    members = {name: (_descriptors(entries)[: top_k or MOST],) for name, entries in parts.items()}
    used = {key for entries in parts.values() for entry in entries for key in entry.references}
    citation = "; ".join(text for key, text in facs_table().references.items() if key in used)
    manifest = Manifest(class_set=class_set.as_manifest(), source="facs", citation=citation)
    draft = DescriptionSet("", class_set.names, members, manifest)
    return draft if top_k is None else draft.top(top_k)


def _parts(expression: ExpressionClass) -> list[Entry]:
    known = facs_table().classes
    for name in (expression.name, *expression.aliases, expression.words):
        parts = compound_parts(name)
        if all(part in known for part in parts):
            return [known[part] for part in parts]
    raise InputError(
        f"the FACS table does not contain the class {expression.name!r}\n"
        f"It contains {', '.join(known)}, and compounds of these (anger_disgust)"
    )


def _descriptors(entries: list[Entry]) -> tuple[Descriptor, ...]:
    turns = chain.from_iterable(zip_longest(*(entry.looks for entry in entries)))
    texts: dict[str, str] = {}
    for look in turns:
        if look is not None:
            texts.setdefault(normal_form(look.visible), look.visible)
    return tuple(Descriptor(text, rank) for rank, text in enumerate(texts.values(), start=1))


def sentence_set(class_set: ClassSet, pattern: str) -> DescriptionSet:
    """An unsaved set with one descriptor per class: `pattern` with the class's words in place of "{class}".

    "an expression of {class}" becomes "an expression of happiness" for the class happiness. Raises InputError
    for a pattern that is not a single line, has no "{class}" or has other braces.

    >>> from dfer_prompts import load_class_set
    >>> sentence_set(load_class_set("dfew"), "a photo of {class}").description("anger")
    'a photo of anger.'
    """
    sentence = pattern.strip().removesuffix(".")
    rest = sentence.replace(PLACE, "")
    if PLACE not in sentence:
        raise InputError(f"the sentence {pattern!r} has no {PLACE}: every class would get the same text")
    if "{" in rest or "}" in rest or not sentence.isprintable():
        raise InputError(f"the sentence {pattern!r} must be on one line, with only {PLACE} in braces")
    members = {
        each.name: ((Descriptor(sentence.replace(PLACE, each.words), 1),),) for each in class_set.classes
    }
    manifest = Manifest(
        class_set=class_set.as_manifest(),
        source="sentence",
        derivation={"command": "generate", "sentence": sentence},
    )
    return DescriptionSet("", class_set.names, members, manifest)
