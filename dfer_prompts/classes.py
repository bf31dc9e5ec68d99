"""Class sets: ordered lists of expression classes, shipped or defined in a YAML file.

Classes are matched by name, not by number: other code bases number the same classes differently.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from .errors import InputError, system_errors, unknown
from .list_marks import without_mark
from .yaml_files import first_problem, load_yaml, read_yaml

SHIPPED = ("dfew", "ferv39k", "mafw", "mafw-compound")
_FOLDER = Path(__file__).parent / "class_sets"


@dataclass(frozen=True)
class ExpressionClass:
    """One expression class: `name` identifies it ("anger_disgust"), `words` is its form in a sentence."""

    name: str
    words: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassSet:
    """An ordered list of classes; the index of a class is its label."""

    name: str
    classes: tuple[ExpressionClass, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in label order."""
        return tuple(each.name for each in self.classes)

    def as_manifest(self) -> dict[str, Any]:
        """The set as stored in a manifest; `words` only if they do not follow from the class name."""
        words = {each.name: each.words for each in self.classes if each.words != default_words(each.name)}
        described: dict[str, Any] = {"name": self.name, "class_names": list(self.names)}
        return {**described, "words": words} if words else described

    def resolve(self, text: str) -> ExpressionClass:
        """The class with this name or alias, ignoring case. Raises InputError if there is none."""
        key = _key(text)
        for each in self.classes:
            if key in (_key(each.name), *map(_key, each.aliases)):
                return each
        found = match_class_name(text, self.names)
        if found is None:
            raise unknown("class", text, self.names, where=f" in {self.name}")
        return next(each for each in self.classes if each.name == found)


def class_set_names() -> list[str]:
    """The names of the shipped class sets."""
    return list(SHIPPED)


@system_errors()
def load_class_set(name_or_path: str) -> ClassSet:
    """Load a shipped class set by name, or one defined in a YAML file.

    The file has the keys `name:` and `classes:`, a list whose items are class names or mappings of `name`,
    `words` and `aliases`. Raises InputError if there is no such set or the file is invalid.
    """
    if name_or_path.casefold() in SHIPPED:
        return _read(_FOLDER / f"{name_or_path.casefold()}.yaml")
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return _read(path)
    if path.suffix in (".yaml", ".yml"):
        raise InputError(f"no class set file {name_or_path}")
    raise unknown("class set", name_or_path, SHIPPED)


def class_set_of(name: str, class_names: Sequence[str]) -> ClassSet:
    """The class set with these classes in this order; their words follow from the names.

    Raises InputError for fewer than two classes, two names of one class, or an invalid name.
    """
    try:
        file = _ClassSetFile.model_validate({"name": name, "classes": list(class_names)})
    except ValidationError as error:
        raise InputError(f"the classes {_some(class_names)}: {first_problem(error)}") from error
    return _class_set(file)


def canonical_class_name(text: str) -> str:
    """The name of a class in the shipped sets: "Happy" is "happiness"; an unknown name is returned unchanged.

    The parts of a compound class are converted one by one: "Angry_Disgusted" is "anger_disgust".
    """
    table = _canonical_names()
    parts = _key(text).split("_")
    if all(part in table for part in parts):
        return "_".join(table[part] for part in parts)
    return text


def aliases(name: str) -> tuple[str, ...]:
    """Other names of a class in data sets: "happy", "joy", "joyful" for happiness."""
    return tuple(_aliases().get(canonical_class_name(name), ()))


def match_class_name(text: str, names: Sequence[str]) -> str | None:
    """The name of the same class in `names`: exact, else ignoring case and Unicode form, else by alias."""
    for form in (str, _key, lambda name: _key(canonical_class_name(name))):
        found = [name for name in names if form(name) == form(text)]
        if len(found) == 1:
            return found[0]
    return None


def compound_parts(name: str) -> tuple[str, ...]:
    """The canonical parts of a compound name: ("anger", "disgust"); a single class is its only part."""
    canonical = canonical_class_name(name)
    parts = tuple(canonical.split("_"))
    return parts if all(part in _canonical_names() for part in parts) else (canonical,)


def default_words(name: str) -> str:
    """The words of a class whose file gives none: "anger and disgust", "a, b, and c", "mild joy"."""
    *first, last = compound_parts(name)
    if not first:
        return " ".join(last.replace("_", " ").split())
    return f"{first[0]} and {last}" if len(first) == 1 else f"{', '.join(first)}, and {last}"


def _key(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)  # macOS returns folder names in NFD
    return "_".join(composed.replace("_", " ").replace("-", " ").casefold().split())


@cache
def _aliases() -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = load_yaml((_FOLDER / "aliases.yaml").read_text(encoding="utf-8"))
    return loaded


@cache
def _canonical_names() -> dict[str, str]:
    return {alias: name for name, others in _aliases().items() for alias in (name, *others)}


_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


class _ClassEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: _Name
    words: _Name | None = None
    aliases: list[_Name] = []

    @model_validator(mode="before")
    @classmethod
    def _from_a_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict):
            raise ValueError(
                f"a class is a name or a mapping of name, words and aliases, not {value!r} "
                "(YAML does not read unquoted yes, no and numbers as text: put them in quotes)"
            )
        return value

    @model_validator(mode="after")
    def _printable(self) -> _ClassEntry:
        for text in (self.name, self.words or "", *self.aliases):
            if not text.isprintable():
                raise ValueError(f"{text!r} contains a line break or control character")
            if text != without_mark(text):
                raise ValueError(f"{text!r} begins with a list marker: remove it")
        if not _key(self.name) or "/" in self.name or "\\" in self.name or self.name.startswith("."):
            raise ValueError(f"{self.name!r} is not a valid folder name, so it cannot be a class name")
        return self


class _ClassSetFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: _Name
    classes: list[_ClassEntry]

    @model_validator(mode="after")
    def _distinct_names(self) -> _ClassSetFile:
        if len(self.classes) < 2:
            raise ValueError(f"classes: at least two are required, not {len(self.classes)}")
        owner: dict[str, str] = {}
        for entry in self.classes:
            for key in dict.fromkeys(map(_key, (entry.name, *entry.aliases))):
                if key in owner:
                    raise ValueError(f"classes: {key!r} stands for both {owner[key]!r} and {entry.name!r}")
                owner[key] = entry.name
        return self


def _read(path: Path) -> ClassSet:
    loaded = read_yaml(path, "a class set has the keys `name:` and `classes:` (a list of names)")
    try:
        file = _ClassSetFile.model_validate(loaded)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
    return _class_set(file)


def _class_set(file: _ClassSetFile) -> ClassSet:
    return ClassSet(file.name, tuple(_expression_class(entry, file.classes) for entry in file.classes))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + ("" if len(names) <= 3 else f" and {len(names) - 3} more")


def _expression_class(entry: _ClassEntry, entries: Sequence[_ClassEntry]) -> ExpressionClass:
    taken = {_key(name) for each in entries for name in (each.name, *each.aliases)}
    usual = [alias for alias in _aliases().get(_key(entry.name), []) if alias not in taken]
    return ExpressionClass(entry.name, entry.words or default_words(entry.name), (*entry.aliases, *usual))
