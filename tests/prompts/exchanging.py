"""A file as another program may have written it, and a set's texts, for the tests of import and export."""

from __future__ import annotations

from pathlib import Path

from dfer_prompts.classes import load_class_set
from dfer_prompts.description_set import DescriptionSet
from dfer_prompts.versions.exchange import Imported, import_file


def members(descriptions: DescriptionSet) -> dict[str, list[list[str]]]:
    return {
        name: [[each.text for each in member] for member in descriptions.members[name]]
        for name in descriptions.class_names
    }


def read(folder: Path, name: str, content: bytes | str, classes: str | None = None, **more: str) -> Imported:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_file(path, load_class_set(classes) if classes else None, **more)
