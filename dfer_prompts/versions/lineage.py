"""Lineage of description sets, read from the manifests of the versions only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..description_set import Manifest
from ..errors import InputError, system_errors
from .store import DescriptionStore
from .version_files import read_manifest

LONGEST = 60  # characters of one value in `how_made`


@dataclass(frozen=True)
class Parent:
    """A parent of a version: `ref` as in the manifest ("v2@4") and the sha256 of its content.

    `here`: whether the version exists; `problem`: a message if it is missing or was modified.
    """

    ref: str
    sha256: str | None
    here: bool = True
    problem: str | None = None

    @property
    def name(self) -> str:
        """The version of `ref`, which may be a view."""
        return self.ref.partition("@")[0]


@dataclass(frozen=True)
class Entry:
    """One version in the log. `how` describes its derivation; `problem` is the error if it cannot be read."""

    name: str
    created: str = ""
    source: str = ""
    template: str | None = None
    model: str | None = None
    how: str = ""
    derivation: dict[str, Any] | None = None
    parents: tuple[Parent, ...] = ()
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry as plain values, for JSON."""
        return asdict(self)


@system_errors()
def log(store: DescriptionStore, ref: str | None = None) -> list[Entry]:
    """The version of `ref` and all its ancestors, each once and before its parents.

    Without `ref`, all versions; those without descendants are first, the newest of them before the others. A
    version that cannot be read is listed with its error. Raises InputError if `ref` does not exist.
    """
    if ref is not None:
        store.load(ref)
        return _walk(store, [ref.partition("@")[0]], {})
    known = {name: _entry(store, name) for name in store.list()}
    made_from = {parent.name for entry in known.values() for parent in entry.parents}
    newest = sorted(known, key=lambda name: known[name].created, reverse=True)
    last = [name for name in newest if name not in made_from]
    return _walk(store, [*last, *newest], known)


def _walk(store: DescriptionStore, names: Sequence[str], known: dict[str, Entry]) -> list[Entry]:
    """The named versions and their ancestors, depth first, without duplicates."""
    found: dict[str, Entry] = {}
    waiting = list(reversed(names))
    while waiting:
        name = waiting.pop()
        if name not in found:
            entry = found[name] = known.get(name) or _entry(store, name)
            waiting += [parent.name for parent in reversed(entry.parents) if parent.here]
    return list(found.values())


def _entry(store: DescriptionStore, name: str) -> Entry:
    try:
        manifest = read_manifest(store.path(name))
    except (InputError, OSError) as error:
        return Entry(name, problem=str(error))
    return Entry(
        name,
        created=manifest.created,
        source=manifest.source,
        template=manifest.template,
        model=manifest.model,
        how=how_made(manifest),
        derivation=manifest.derivation,
        parents=tuple(_parent(store, each, manifest.parent_sha256.get(each)) for each in manifest.parents),
    )


def _parent(store: DescriptionStore, ref: str, sha256: str | None) -> Parent:
    name = ref.partition("@")[0]
    try:
        store.path(name)
    except InputError:
        return Parent(ref, sha256, here=False, problem=f"{name} does not exist here")
    try:
        changed = sha256 is not None and store.load(ref).sha256 != sha256
    except (InputError, OSError) as error:
        return Parent(ref, sha256, problem=f"{ref} cannot be read: {error}")
    problem = f"{ref} here differs from the parent it was derived from" if changed else None
    return Parent(ref, sha256, problem=problem)


def how_made(manifest: Manifest) -> str:
    """The derivation in one line: "edit: added 1; message ...", "llm: m with the template paper"."""
    if manifest.derivation:
        rest = {key: value for key, value in manifest.derivation.items() if key != "command"}
        message = "; ".join(
            f"{key} {_shortened(value)}" for key, value in rest.items() if value not in (None, [], {})
        )
        command = str(manifest.derivation.get("command", manifest.source))
        return f"{command}: {message}" if message else command
    with_template = f" with the template {manifest.template}" if manifest.template else ""
    return f"{manifest.source}: {manifest.model}{with_template}" if manifest.model else manifest.source


def _shortened(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        text = ", ".join(map(str, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
