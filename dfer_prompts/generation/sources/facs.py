"""Descriptors without a language model: what FACS action units look like, from the table in `facs.yaml`.

The table says for each class how well its action units are founded. For anxiety that is little, for
helplessness and disappointment nothing but analogy.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...classes import ClassSet, ExpressionClass, compound_parts
from ...description_set import DescriptionSet, Descriptor, Manifest
from ...errors import InputError
from ...normalize import normal_form
from ...yaml_files import load_yaml

MOST = 8  # looks of a class unless more are asked for: with 8 context vectors they fit CLIP's 77 tokens


class Look(BaseModel):
    """What some action units look like; no units where the look is their absence."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    units: tuple[int, ...]
    visible: str


class Entry(BaseModel):
    """What the table knows of one class: its looks, the most telling first, and what they are founded on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    basis: Literal["strong", "moderate", "none"]
    references: tuple[str, ...]
    note: str
    looks: tuple[Look, ...]


class Table(BaseModel):
    """References by their keys, the names of the action units by number, and an entry per class."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    references: dict[str, str]
    action_units: dict[int, str]
    classes: dict[str, Entry]


@cache
def facs_table() -> Table:
    """The table as shipped."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return Table.model_validate(load_yaml(text))


def facs_set(class_set: ClassSet, top_k: int | None = None) -> DescriptionSet:
    """A draft with the looks of each class; a compound class takes turns with those of its parts.

    `top_k` keeps the first so many of each class, by default all up to 8, which only compound classes exceed.
    Raises InputError that names a class the table does not know, or that has fewer.
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
        f"the FACS table does not know the class {expression.name!r}\n"
        f"It knows {', '.join(known)}, and classes made of these (anger_disgust)"
    )


def _descriptors(entries: list[Entry]) -> tuple[Descriptor, ...]:
    turns = chain.from_iterable(zip_longest(*(entry.looks for entry in entries)))
    texts: dict[str, str] = {}
    for look in turns:
        if look is not None:
            texts.setdefault(normal_form(look.visible), look.visible)
    return tuple(Descriptor(text, rank) for rank, text in enumerate(texts.values(), start=1))
