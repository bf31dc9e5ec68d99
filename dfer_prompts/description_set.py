"""The value everything passes around: the ranked descriptors of every class, and where they come from."""

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
MOST = 2**31 - 1  # of a count: what a column of 32 bits holds
Count = Annotated[int, Field(ge=0, le=MOST)]


@dataclass(frozen=True)
class Descriptor:
    """One visual feature of one class, for example "raised cheeks".

    `rank` counts from 1 within its member; `support` of the `samples` answers named it. `wordings` are the
    other wordings of it in those answers, the most frequent first ("eyebrows raised" beside "raised
    eyebrows").
    """

    text: str
    rank: int
    support: int = 1
    samples: int = 1
    wordings: tuple[str, ...] = ()


class Seen(BaseModel):
    """Clips whose labels took part in choosing the descriptors: nothing may be judged on them.

    `dataset` is the dataset's name, `fingerprint` that of its packed clips; `folds` are those of the clips.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str
    fingerprint: str
    folds: tuple[Count, ...]


class Manifest(BaseModel):
    """Where a description set comes from: the content of `manifest.yaml`.

    `class_set` is what the set was made for, {"name": ..., "class_names": [...]} in the order of its rows
    and, for some classes, "words" (`ClassSet.as_manifest`); `source` is where the descriptors come from
    ("llm", "facs", "paper", "sentence", "import", "mixed", "control:<name>"); `citation` says where a
    published source is found and `license` what its terms are (a name of the HuggingFace hub); `readings`
    counts the answers by how they could be read (json_schema, json_object, text).

    `parents` are the versions or views it was made from and `parent_sha256` the hashes of their content;
    `derivation` says how, {"command": "edit", ...}, with all that the command was given. `seen` is what the
    choice of descriptors has seen, its parents' share included. `created` is ISO 8601 in UTC; `failures` are
    the answers that were none, with their reasons; `files` maps the other files of the version to their
    sha256, and `manifest_sha256` is that of manifest.yaml with 64 zeros in its own place.
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
            raise ValueError("it has the keys name, class_names and, where they differ, words")
        if not isinstance(class_names, list | tuple) or not isinstance(words, dict):
            raise ValueError("class_names is a list of names, and words a mapping of some of them")
        if not all(isinstance(each, str) for each in (name, *class_names, *words, *words.values())):
            raise ValueError(
                "names and words are text (YAML reads bare yes, no and numbers as something else)"
            )
        return {**value, "class_names": list(class_names)}

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        """A user name, password or query in an address may be a key, and a manifest gets published."""
        if value is None:
            return None
        parts = urlsplit(value)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def lineage(parents: Sequence[DescriptionSet]) -> dict[str, Any]:
    """What the manifest of a set made from `parents` says of them: `parents`, `parent_sha256` and `seen`."""
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

    `name` is a version ("v2"), a view of one ("v2@4"), a control ("control:swapped"), or "" for a draft.
    Raises InputError when a class is missing or not listed, has a member without descriptors, or a descriptor
    that is no single printable line or out of rank order.
    """

    name: str
    class_names: tuple[str, ...]
    members: Mapping[str, tuple[tuple[Descriptor, ...], ...]]
    manifest: Manifest = field(compare=False)

    def __post_init__(self) -> None:
        if set(self.members) != set(self.class_names) or len(set(self.class_names)) != len(self.class_names):
            raise InputError(f"{self._title()}: the class names and the classes with descriptors differ")
        for name in self.class_names:
            if not self.members[name] or not all(self.members[name]):
                raise InputError(f"{self._title()}: the class {name!r} has no descriptor")
            for member in self.members[name]:
                _check(member, f"{self._title()}: the class {name!r}")

    def top(self, k: int) -> DescriptionSet:
        """The view of each member's first `k` descriptors, named "v2@4".

        Raises InputError when `k` is below 1 or classes have fewer, and names them.
        """
        if k < 1:
            raise InputError(f"{self._title()}: the top {k} of a class is nothing; ask for 1 or more")
        fewest = {name: min(map(len, self.members[name])) for name in self.class_names}
        short = [f"{name} ({fewest[name]})" for name in self.class_names if fewest[name] < k]
        if short:
            raise InputError(
                f"{self._title()} has fewer than {k} descriptors of: {listed(short)}\n"
                f"All classes have {min(fewest.values())} or more"
            )
        cut = {name: tuple(member[:k] for member in members) for name, members in self.members.items()}
        base = self.name.partition("@")[0]
        return replace(self, name=f"{base}@{k}" if base else "", members=cut)

    def description(self, class_name: str, member: int = 0) -> str:
        """The sentence of one member of a class. Raises InputError when there is no such class or member."""
        members = self.members[self._own_names([class_name])[0]]
        if not 0 <= member < len(members):
            raise InputError(
                f"{self._title()}: {class_name!r} has {len(members)} members, none numbered {member}"
            )
        return join([descriptor.text for descriptor in members[member]])

    def class_texts(self, class_names: Sequence[str]) -> list[list[str]]:
        """The sentences of the classes in the given (label) order, for each class one per member.

        Classes are matched by name, aliases allowed. Raises InputError that names the classes not covered.
        """
        own = self._own_names(class_names)
        return [[self.description(name, member) for member in range(len(self.members[name]))] for name in own]

    @property
    def sha256(self) -> str:
        """The identity of what a model is given: of the class names and descriptors, not of name or date."""
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
            raise InputError(f"{where} has rank {each.rank} where rank {rank} belongs")
        if not (0 <= each.support <= MOST and 0 <= each.samples <= MOST):
            raise InputError(
                f"{where}: {each.text!r} has support {each.support} of {each.samples} samples; "
                f"both are counts from 0 to {MOST}"
            )


def join(descriptors: Sequence[str]) -> str:
    """The sentence that lists the descriptors, as in the paper's Appendix A: "a, b, c, and d.".

    - One is the whole sentence, two are joined by "and", more by commas and a last ", and".
    - Where one has a comma in it, semicolons part them: "wide, staring eyes; tears; and pale skin.".
    - Where one of two has an "and" in it, a comma stands before the "and" between them.
    - Each loses the full stop or comma around it, an "and" before it, and the capital of its first word ("And
      raised cheeks." in a list of a model); CLIP reads no capitals. One alone that ends as a sentence does
      ("A smiling face.") comes back as it is.
    - No article is added and no number changed: "a smile" and "tears" are right, and so is "pupil dilation".

    >>> join(["a smiling mouth", "raised cheeks", "wrinkled eyes"])
    'a smiling mouth, raised cheeks, and wrinkled eyes.'

    Raises InputError when there is none.
    """
    if not descriptors:
        raise InputError("there is no descriptor to make a sentence of")
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
