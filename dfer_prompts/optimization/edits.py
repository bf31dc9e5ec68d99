"""Edits of a description set: read from a model's answer, checked, and applied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ..classes import match_class_name
from ..clip_tokens import count_tokens, room
from ..description_set import DescriptionSet, Descriptor, Manifest, join
from ..lint.set_checks import Subject
from ..lint.word_checks import WORDS, grammar
from ..normalize import normal_form
from ..parsing.tables import values

State = Mapping[str, tuple[str, ...]]  # class name -> descriptors, classes in label order
Action = Literal["add", "remove", "replace"]

MOST = 8  # descriptors of a class
CONTEXTS = 8  # learnable vectors beside a description in a later training
REFUSED = ("class-name", "other-class", "not-visible", "code", "script", "markup")  # rules of the checks

_ACTIONS: dict[str, Action] = {
    "add": "add", "append": "add", "insert": "add", "remove": "remove", "delete": "remove", "drop": "remove",
    "replace": "replace", "change": "replace", "modify": "replace", "swap": "replace",
}  # fmt: skip
_CLASS = ("class", "class_name", "expression", "emotion", "label")
_ACTION = ("action", "type", "op", "operation", "edit")
_OLD = ("old", "from", "before", "descriptor", "remove", "old_descriptor")
_NEW = ("new", "to", "with", "after", "by", "new_descriptor", "text", "descriptor", "add")
_DEEPEST = 4

_QUOTED = r"[\"'“‘]?(?P<{}>[^\"“”]+?)[\"'”’]?"
_LINE = re.compile(
    rf"""^[\s\d.)*\-•]*(?:(?P<before>[\w ]+?)\s*:\s*)?
    (?P<action>add|remove|delete|replace|change)\s+{_QUOTED.format("first")}
    (?:\s+(?:with|by|to|->|→)\s+{_QUOTED.format("second")})?
    (?:\s+(?:in|to|from|for|of)\s+(?:the\s+class\s+)?[\"']?(?P<after>[\w ]+?)[\"']?)?\s*\.?$""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Edit:
    """One change of one class: `old` is removed, `new` added; a replacement keeps its place."""

    class_name: str
    old: str | None = None
    new: str | None = None

    @property
    def action(self) -> Action:
        """The kind of edit."""
        if self.old is None:
            return "add"
        return "remove" if self.new is None else "replace"

    def __str__(self) -> str:
        if self.action == "replace":
            return f"{self.class_name}: replace {self.old!r} with {self.new!r}"
        return f"{self.class_name}: {self.action} {self.new or self.old!r}"


@dataclass(frozen=True)
class Refused:
    """An edit that is skipped, as written, and why."""

    edit: str
    reason: str


def read_edits(text: str, state: State) -> tuple[list[Edit], list[Refused]]:
    """The edits in an answer that can be applied to the set, and those that cannot.

    JSON is found in any text around it, also if it is truncated or has comments; without JSON, lines such as
    `fear: replace "raised chin" with "wide eyes"` are read. Repeated edits are read once.
    """
    found: list[Edit] = []
    refused: list[Refused] = []
    for raw in _raw(text):
        edit = checked(raw, state)
        if isinstance(edit, Refused):
            refused.append(edit)
        elif edit not in found:
            found.append(edit)
    return found, refused


def checked(raw: Mapping[str, Any], state: State) -> Edit | Refused:
    """The edit of a raw one ({"class": ..., "action": ..., "old": ..., "new": ...}) or why it is refused."""
    shown = ", ".join(f"{key}: {value}" for key, value in raw.items())[:200]
    name = match_class_name(str(raw.get("class") or ""), list(state))
    if name is None:
        return Refused(shown, "no class of the set")
    action = _ACTIONS.get(str(raw.get("action") or "").strip().lower())
    if action is None:
        return Refused(shown, "no known action")
    old, new = None, None
    if action != "add":
        old = _held(raw.get("old"), state[name])
        if old is None:
            return Refused(shown, "the class has no such descriptor")
    if action != "remove":
        new = _clean(raw.get("new"))
        if not new:
            return Refused(shown, "no new descriptor of one line")
    edit = Edit(name, old, new)
    reason = _problem(edit, state)
    return edit if reason is None else Refused(shown, reason)


def applied(state: State, edits: Sequence[Edit]) -> State:
    """The set after the edits, in order; those that an earlier one made impossible are left out."""
    made = dict(state)
    for edit in edits:
        own = made[edit.class_name]
        changed = _changed(own, edit)
        if changed is not None:
            made[edit.class_name] = changed
    return made


def sentences(state: State) -> list[str]:
    """The class texts, in label order."""
    return [join(own) for own in state.values()]


def changes(first: State, last: State) -> list[str]:
    """The differences of two sets of the same classes, as texts."""
    found = []
    for name, own in first.items():
        gone = [each for each in own if each not in last[name]]
        new = [each for each in last[name] if each not in own]
        for old, add in zip(gone, new, strict=False):
            found.append(str(Edit(name, old, add)))
        found += [str(Edit(name, old)) for old in gone[len(new) :]]
        found += [str(Edit(name, new=add)) for add in new[len(gone) :]]
    return found


def _changed(own: tuple[str, ...], edit: Edit) -> tuple[str, ...] | None:
    """The class's descriptors after the edit; None if it cannot be applied."""
    if edit.old is not None and edit.old not in own:
        return None
    if edit.new is not None and normal_form(edit.new) in {normal_form(each) for each in own}:
        return None
    if edit.old is None:
        assert edit.new is not None
        return (*own, edit.new) if len(own) < MOST else None
    if edit.new is None:
        return tuple(each for each in own if each != edit.old) if len(own) > 1 else None
    return tuple(edit.new if each == edit.old else each for each in own)


def _problem(edit: Edit, state: State) -> str | None:
    """Why the edit is refused: by the structure of the class, or by the checks of `descriptions check`."""
    own = state[edit.class_name]
    changed = _changed(own, edit)
    if changed is None:
        if edit.new is None:
            return "the only descriptor of its class"
        return f"the class has {MOST} descriptors" if len(own) >= MOST else "the class has this descriptor"
    if edit.new is None:
        return None
    if count_tokens(join(changed)) > room(CONTEXTS):
        return f"too-long: the description does not fit beside {CONTEXTS} contexts"
    if join(changed) in [join(each) for name, each in state.items() if name != edit.class_name]:
        return "same-sentence: another class has this description"
    return _word_problem(tuple(state), edit.class_name, edit.new)


@cache
def _word_problem(names: tuple[str, ...], class_name: str, text: str) -> str | None:
    """The first finding of `descriptions check` about the words of a new descriptor that is not a note."""
    members = {name: ((Descriptor(text if name == class_name else "lips", 1),),) for name in names}
    manifest = Manifest(class_set={"name": "edit", "class_names": list(names)}, source="llm")
    subject = Subject(DescriptionSet("", names, members, manifest), names, CONTEXTS, asked=None)
    for rule in (*WORDS, grammar):
        for each in rule(subject):
            if each.class_name == class_name and each.level != "note" and each.rule in REFUSED:
                return f"{each.rule}: {each.message}"
    return None


def _clean(value: Any) -> str:
    text = " ".join(value.split()).strip(" .\"'") if isinstance(value, str) else ""
    return text if text.isprintable() and len(text) <= 200 else ""


def _held(value: Any, own: Sequence[str]) -> str | None:
    """The class's descriptor that the answer means: by its text, else by its normal form."""
    text = _clean(value)
    for each in own:
        if each.casefold() == text.casefold():
            return each
    form = normal_form(text)
    return next((each for each in own if form and normal_form(each) == form), None)


def _raw(text: str) -> Iterator[dict[str, Any]]:
    found = [raw for value in values(text) for raw in _in_value(value, None, 0)]
    if found:
        yield from found
        return
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            action = _ACTIONS[match["action"].lower()]
            first, second = match["first"], match["second"]
            new, old = (first, None) if action == "add" else (second, first)
            name = match["before"] or match["after"] or (second if action == "add" else None)
            yield {"class": name, "action": action, "old": old, "new": new}


def _in_value(value: Any, class_name: str | None, depth: int) -> Iterator[dict[str, Any]]:
    """The raw edits in a JSON value: objects with an action, or lists of edits by class and by action."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for each in value:
            yield from _in_value(each, class_name, depth + 1)
        return
    if not isinstance(value, dict):
        return
    keys = {str(key).strip().lower(): each for key, each in value.items()}
    named = _first(keys, _CLASS, str) or class_name
    action = _first(keys, _ACTION, str)
    if action is not None:
        new = _first(keys, _NEW, str)
        yield {"class": named, "action": action, "old": _first(keys, _OLD, str), "new": new}
        return
    for key, each in keys.items():
        if key in _ACTIONS:
            yield from _by_action(_ACTIONS[key], each, named)
        else:
            inner = named if key in ("edits", "changes", "classes") else key
            yield from _in_value(each, inner, depth + 1)


def _by_action(action: Action, value: Any, class_name: str | None) -> Iterator[dict[str, Any]]:
    """The edits under the key of an action: texts, pairs, or objects with old and new."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            key = "new" if action == "add" else "old"
            yield {"class": class_name, "action": action, key: each}
        elif isinstance(each, dict):
            keys = {str(key).lower(): item for key, item in each.items()}
            named = _first(keys, _CLASS, str) or class_name
            if not keys.keys() & {*_OLD, *_NEW} and len(each) == 1:  # {"raised chin": "wide eyes"}
                ((old, new),) = each.items()
                yield {"class": named, "action": action, "old": old, "new": new}
            else:
                old, new = _first(keys, _OLD, str), _first(keys, _NEW, str)
                yield {"class": named, "action": action, "old": old, "new": new}


def _first(keys: Mapping[str, Any], names: Sequence[str], kind: type) -> Any:
    return next((keys[name] for name in names if isinstance(keys.get(name), kind)), None)
