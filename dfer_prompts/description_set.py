"""Description sets: the ranked descriptors of every class, and the manifest with their origin."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from . import __version__
from .classes import match_class_name
from .errors import InputError, listed

FORMAT_VERSION = 1
MOST = 2**31 - 1  # largest count: a signed 32-bit column
Count = Annotated[int, Field(ge=0, le=MOST)]


@dataclass(frozen=True)
class Descriptor:
    """One visual feature of one class, for example "raised cheeks".

    `rank` counts from 1 within its member; `support` of the `samples` answers contain it. `wordings` are its
    other wordings in those answers, the most frequent first ("eyebrows raised" for "raised eyebrows").
    """

    text: str
    rank: int
    support: int = 1
    samples: int = 1
    wordings: tuple[str, ...] = ()


class Seen(BaseModel):
    """Folds whose labels influenced the choice of descriptors; the set must not be evaluated on them.

    `dataset` is the dataset's name, `fingerprint` that of its packed clips.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str
    fingerprint: str
    folds: tuple[Count, ...]


class Manifest(BaseModel):
    """The origin of a description set: the content of `manifest.yaml`.

    `class_set` is {"name": ..., "class_names": [...]} in the order of the rows and, for some classes, "words"
    (`ClassSet.as_manifest`); `source` is the origin of the descriptors ("llm", "frames", "facs", "paper",
    "sentence", "import", "mixed", "control:<name>"); `citation` refers to a published source; `license` is
    an identifier of the HuggingFace hub; `readings` counts the answers by the format they were read as
    (json_schema, json_object, text).

    `parents` are the versions or views it was derived from and `parent_sha256` the hashes of their content;
    `derivation` is {"command": "edit", ...} with the command's arguments. `seen` lists the folds that
    influenced the choice of descriptors, those of the parents included. `created` is ISO 8601 in UTC;
    `failures` are the responses without a usable answer, with their reasons; `files` maps the other files of
    the version to their sha256; `manifest_sha256` is that of manifest.yaml with 64 zeros in place of itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format_version: Count = FORMAT_VERSION
    class_set: dict[str, Any]
    source: str
    citation: str | None = None
    license: str = "unknown"
    control: str | None = None
    template: str | None = None
    template_sha256: str | None = None
    template_text: str | None = None
    model: str | None = None
    base_url: str | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    readings: dict[str, Count] = Field(default_factory=dict)
    parents: list[str] = Field(default_factory=list)
    parent_sha256: dict[str, str] = Field(default_factory=dict)
    derivation: dict[str, Any] = Field(default_factory=dict)
    seen: tuple[Seen, ...] = ()
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    tool_version: str = __version__
    failures: list[dict[str, Any]] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    manifest_sha256: str | None = None

    @field_validator("class_set")
    @classmethod
    def _names_its_classes(cls, value: dict[str, Any]) -> dict[str, Any]:
        name, class_names, words = value.get("name"), value.get("class_names"), value.get("words", {})
        if not {"name", "class_names"} <= set(value) <= {"name", "class_names", "words"}:
            raise ValueError("its keys are name, class_names and, if they differ, words")
        if not isinstance(class_names, list | tuple) or not isinstance(words, dict):
            raise ValueError("class_names must be a list of names, and words a mapping of some of them")
        if not all(isinstance(each, str) for each in (name, *class_names, *words, *words.values())):
            raise ValueError(
                "names and words must be text (YAML does not read unquoted yes, no and numbers as text)"
            )
        return {**value, "class_names": list(class_names)}

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        """Remove user name, password and query of an address: manifests get published."""
        if value is None:
            return None
        parts = urlsplit(value)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def lineage(parents: Sequence[DescriptionSet]) -> dict[str, Any]:
    """The manifest fields of a set derived from `parents`: `parents`, `parent_sha256` and `seen`."""
    named = [each for each in parents if each.name]
    seen = dict.fromkeys(each for parent in parents for each in parent.manifest.seen)
    return {
        "parents": [each.name for each in named],
        "parent_sha256": {each.name: each.sha256 for each in named},
        "seen": tuple(seen),
    }


@dataclass(frozen=True)
class DescriptionSet:
    """All descriptors of all classes: class name -> members -> descriptors in rank order.

    `name` is a version ("v2"), a view of one ("v2@4"), a control ("control:swapped"), or "" for an unsaved
    set. Raises InputError if a class is missing or not listed, a member has no descriptors, or a descriptor
    is not a single printable line or not in rank order.
    """

    name: str
    class_names: tuple[str, ...]
    members: Mapping[str, tuple[tuple[Descriptor, ...], ...]]
    manifest: Manifest = field(compare=False)

    def __post_init__(self) -> None:
        if set(self.members) != set(self.class_names) or len(set(self.class_names)) != len(self.class_names):
            raise InputError(f"{self._title()}: class_names and the classes with descriptors differ")
        for name in self.class_names:
            if not self.members[name] or not all(self.members[name]):
                raise InputError(f"{self._title()}: the class {name!r} has no descriptor")
            for member in self.members[name]:
                _check(member, f"{self._title()}: the class {name!r}")

    def top(self, k: int) -> DescriptionSet:
        """The view of each member's first `k` descriptors, named "v2@4".

        Raises InputError if `k` is below 1 or a class has fewer descriptors, and names these classes.
        """
        if k < 1:
            raise InputError(f"{self._title()}: top {k} is not possible; use 1 or more")
        fewest = {name: min(map(len, self.members[name])) for name in self.class_names}
        short = [f"{name} ({fewest[name]})" for name in self.class_names if fewest[name] < k]
        if short:
            raise InputError(
                f"{self._title()} has fewer than {k} descriptors of: {listed(short)}\n"
                f"Every class has at least {min(fewest.values())}"
            )
        cut = {name: tuple(member[:k] for member in members) for name, members in self.members.items()}
        base = self.name.partition("@")[0]
        return replace(self, name=f"{base}@{k}" if base else "", members=cut)

    def description(self, class_name: str, member: int = 0) -> str:
        """The sentence of one member of a class. Raises InputError if there is no such class or member."""
        members = self.members[self._own_names([class_name])[0]]
        if not 0 <= member < len(members):
            raise InputError(
                f"{self._title()}: {class_name!r} has {len(members)} members and no member {member}"
            )
        return join([descriptor.text for descriptor in members[member]])

    def class_texts(self, class_names: Sequence[str]) -> list[list[str]]:
        """The sentences of the classes in the given (label) order: for each class, one per member.

        Classes are matched by name or alias. Raises InputError that names the classes not covered.
        """
        own = self._own_names(class_names)
        return [[self.description(name, member) for member in range(len(self.members[name]))] for name in own]

    @property
    def sha256(self) -> str:
        """The sha256 of class names and descriptors; name and date are not included."""
        content = [
            [name, [[each.text for each in member] for member in self.members[name]]]
            for name in self.class_names
        ]
        return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()

    def _own_names(self, class_names: Sequence[str]) -> list[str]:
        matches = [match_class_name(name, self.class_names) for name in class_names]
        missing = [name for name, match in zip(class_names, matches, strict=True) if match is None]
        if missing:
            raise InputError(
                f"{self._title()} has no description of: {listed(missing)}\n"
                f"It covers {', '.join(self.class_names)}"
            )
        return [match for match in matches if match is not None]

    def _title(self) -> str:
        return f"description set {self.name}" if self.name else "the description set"


def _check(member: Sequence[Descriptor], where: str) -> None:
    for rank, each in enumerate(member, start=1):
        if not each.text.strip() or not each.text.isprintable():
            raise InputError(f"{where} has a descriptor that is not one line of text: {each.text!r}")
        if each.rank != rank:
            raise InputError(f"{where} has rank {each.rank} instead of {rank}")
        if not (0 <= each.support <= MOST and 0 <= each.samples <= MOST):
            raise InputError(
                f"{where}: {each.text!r} has support {each.support} of {each.samples} samples; "
                f"both are counts from 0 to {MOST}"
            )


def join(descriptors: Sequence[str]) -> str:
    """Join descriptors to a sentence, as in the paper's Appendix A: "a, b, c, and d.".

    - One is the whole sentence, two are joined by "and", more by commas and a final ", and".
    - If one contains a comma, semicolons separate them: "wide, staring eyes; tears; and pale skin.".
    - If one of two contains an "and", a comma precedes the "and" between them.
    - Surrounding full stops and commas, a leading "and", and the capital of the first word are removed ("And
      raised cheeks." in a model's list); CLIP ignores case. A single descriptor that ends like a sentence ("A
      smiling face.") is returned unchanged.
    - No article is added and no number changed: "a smile", "tears" and "pupil dilation" are all correct.

    >>> join(["a smiling mouth", "raised cheeks", "wrinkled eyes"])
    'a smiling mouth, raised cheeks, and wrinkled eyes.'

    Raises InputError if the list is empty.
    """
    if not descriptors:
        raise InputError("no descriptors to join")
    if len(descriptors) == 1 and descriptors[0].endswith((".", "!", "?")):
        return descriptors[0]
    *first, last = map(_as_item, descriptors)
    if not first:
        return f"{last}."
    comma = ";" if any(re.search("[,;]", each) for each in (*first, last)) else ","
    if len(first) == 1 and comma == "," and not any(" and " in each for each in (*first, last)):
        return f"{first[0]} and {last}."
    return f"{f'{comma} '.join(first)}{comma} and {last}."


def _as_item(text: str) -> str:
    bare = re.sub(r"^and\s+", "", text.strip(), flags=re.IGNORECASE).strip(" .,;:") or text
    return re.sub(r"^(?:A(?=\s)|[A-Z](?=[a-z]))", lambda capital: capital[0].lower(), bare)
