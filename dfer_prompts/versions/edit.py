"""A description set as YAML for a text editor, and a new set from the edited text.

    happiness:
    - a smiling mouth
    - raised cheeks
    anger:                  # two descriptions (members), a list each
    - - furrowed eyebrows
    - - narrow eyes
      - tightened lips

Every scalar is read as text, including `no`, `12:30` and `null`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from ..classes import match_class_name
from ..description_set import DescriptionSet, Descriptor, Manifest, lineage
from ..errors import InputError, unknown
from ..list_marks import titled, without_mark
from ..normalize import normal_form
from ..yaml_files import compose_yaml
from .diff import diff

Members = tuple[tuple[Descriptor, ...], ...]

_HEADER = """\
# {title}
#
# Change, add, remove and reorder the descriptors; their order is their rank. What you save becomes a new
# version. The original version does not change, and the classes are fixed. Without a change nothing is saved.
#
# A class with several descriptions has a list for each of them. A descriptor needs quotes if it contains
# ": " or " #", or begins with one of these: - ? : , [ ] {{ }} # & * ! | > ' " % @ `

"""
_KEPT = (
    "class_set", "source", "citation", "license", "template", "template_sha256", "template_text", "model",
    "base_url", "sampling",
)  # fmt: skip


def as_text(of: DescriptionSet) -> str:
    """The set as YAML: for each class its descriptors in rank order, or a list of them per member.

    Comments at the top explain the format. `edited` reads it without loss.
    """
    title = f"Description set {of.name}" if of.name else "A description set"
    classes: dict[str, Any] = {}
    for name in of.class_names:
        listed = [[each.text for each in member] for member in of.members[name]]
        classes[name] = listed[0] if len(listed) == 1 else listed
    body = yaml.safe_dump(classes, sort_keys=False, allow_unicode=True, width=2**31)
    return _HEADER.format(title=title) + body


def edited(
    parent: DescriptionSet, text: str, where: str = "the text", message: str | None = None
) -> DescriptionSet:
    """The unsaved set that the YAML `text` makes of `parent`; its sha256 is the parent's if nothing changed.

    A descriptor with the same text, or else the same normal form, as one of the same class keeps its support,
    samples and wordings; in the second case the old wording is added to these. Any other has support 0 of the
    parent's samples. Classes and their order are the parent's. `message` is the reason, for the log. An
    edited control is no longer a control.

    Raises InputError, with the line, for invalid YAML, a class that is missing, unknown, empty or duplicated,
    an item that is not one line of printable text, or a new one with a list marker ("1. ", "- "). `where`
    names the text in the message.
    """
    texts = _texts(text, where, parent.class_names)
    _require_unmarked(parent, texts, where)
    members = {name: _members(parent.members[name], texts[name]) for name in parent.class_names}
    inherited = {name: getattr(parent.manifest, name) for name in _KEPT}
    if parent.manifest.control:
        inherited["source"] = "mixed"
    draft = DescriptionSet("", parent.class_names, members, parent.manifest)
    counts = {
        kind: count for kind, count in diff(parent, draft).counts().items() if count and kind != "support"
    }
    derivation = {"command": "edit", **counts, **({"message": message} if message else {})}
    manifest = Manifest(**inherited, derivation=derivation, **lineage([parent]))
    return DescriptionSet("", parent.class_names, members, manifest)


def _require_unmarked(parent: DescriptionSet, texts: dict[str, list[list[str]]], where: str) -> None:
    """Raise InputError for a new text with a list marker or the class name before it."""
    known = {each.text for members in parent.members.values() for member in members for each in member}
    for name, listed in texts.items():
        for text in (text for member in listed for text in member if text not in known):
            title, _ = titled(text.strip()) or ("", "")
            if without_mark(text.strip()) != text.strip() or match_class_name(title, [name]):
                raise InputError(
                    f"{where}: under {name!r}, a text begins with a list marker or the class name: "
                    f"{text[:60]!r}\nRemove it"
                )


def _members(parents: Members, texts: Sequence[Sequence[str]]) -> Members:
    samples = max(each.samples for member in parents for each in member)
    before = [each for member in parents for each in member]
    by_text = {each.text: each for each in reversed(before)}
    by_form = {normal_form(each.text): each for each in reversed(before) if normal_form(each.text)}
    made = []
    for number, listed in enumerate(texts):
        own = {each.text: each for each in parents[number]} if number < len(parents) else {}
        member = []
        for rank, text in enumerate(listed, start=1):
            known = own.get(text) or by_text.get(text) or by_form.get(normal_form(text))
            member.append(_descriptor(text, rank, known, samples))
        made.append(tuple(member))
    return tuple(made)


def _descriptor(text: str, rank: int, known: Descriptor | None, samples: int) -> Descriptor:
    if known is None:
        return Descriptor(text, rank, 0, samples)
    wordings = tuple(each for each in dict.fromkeys((known.text, *known.wordings)) if each != text)
    return Descriptor(text, rank, known.support, known.samples, wordings)


def _texts(text: str, where: str, class_names: Sequence[str]) -> dict[str, list[list[str]]]:
    """The texts of the descriptors by class and member."""
    for number, line in enumerate(text.split("\n"), start=1):
        if any(unicodedata.category(char) == "Cc" and char not in "\t\r" for char in line):
            raise InputError(f"{where}, line {number} contains a control character: remove it")
    root = compose_yaml(text, where)
    if not isinstance(root, yaml.MappingNode):
        raise InputError(
            f"{where} must have each class with its list of descriptors (`fear:`, `- wide eyes`)"
        )
    found: dict[str, list[list[str]]] = {}
    by_form = {unicodedata.normalize("NFC", name): name for name in class_names}
    for key, value in root.value:
        at = _line(key, where)
        written = key.value if isinstance(key, yaml.ScalarNode) else "?"
        name = by_form.get(unicodedata.normalize("NFC", written), written)
        if name not in class_names:
            raise InputError(f"{at}: {unknown('class', name, class_names)}")
        if name in found:
            raise InputError(f"{at}: duplicate class {name!r}")
        found[name] = list(_lists(value, name, where))
    missing = [name for name in class_names if name not in found]
    if missing:
        raise InputError(f"{where} lacks the class {missing[0]!r}: the classes of a set cannot be changed")
    return found


def _lists(node: yaml.Node, name: str, where: str) -> Iterator[list[str]]:
    """The members of a class: a list of lists of texts, or one list for a single member."""
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    if not items:
        is_text = isinstance(node, yaml.ScalarNode) and node.value
        problem = "has no list of descriptors (`- wide eyes`)" if is_text else "has no descriptor"
        raise InputError(f"{_line(node, where)}: the class {name!r} {problem}")
    if all(isinstance(item, yaml.SequenceNode) for item in items):
        for item in items:
            if not item.value:
                raise InputError(f"{_line(item, where)}: a description of {name!r} has no descriptor")
            yield [_text(each, name, where) for each in item.value]
    else:
        yield [_text(each, name, where) for each in items]


def _text(node: yaml.Node, name: str, where: str) -> str:
    at = _line(node, where)
    if isinstance(node, yaml.MappingNode):
        raise InputError(f'{at}: under {name!r}, a text contains ": "; put it in quotes')
    if isinstance(node, yaml.SequenceNode):
        raise InputError(
            f"{at}: under {name!r}, a list between texts; a text that begins with [ or - needs quotes"
        )
    text = str(node.value)
    if not text.strip():
        raise InputError(f"{at}: under {name!r}, an empty descriptor")
    hidden = next((char for char in text if not char.isprintable()), None)
    if hidden is not None:
        known = ", ".join(filter(None, (f"U+{ord(hidden):04X}", unicodedata.name(hidden, "").lower())))
        raise InputError(f"{at}: under {name!r}, a hidden character ({known}); a descriptor is one line")
    return text


def _line(node: yaml.Node, where: str) -> str:
    return f"{where}, line {node.start_mark.line + 1}"
