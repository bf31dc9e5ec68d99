"""JSON files {class: [text, ...]}: those of DCLIP contain descriptors, those of CuPL sentences.

DCLIP: Menon and Vondrick, Visual Classification via Description from Large Language Models, ICLR 2023.
CuPL: Pratt et al., What Does a Platypus Look Like?, ICCV 2023.
"""

from __future__ import annotations

import json
from typing import Any

from dfer_model.json_files import strict_json

from ...description_set import DescriptionSet
from ...errors import InputError
from .file_content import Content, decoded, one_line, ranked

_SHAPE = "DCLIP's and CuPL's files are {class: [text, ...]}"


def read_dclip(data: bytes, where: str) -> Content:
    """One member per class, with the texts as descriptors. Raises InputError."""
    lists = class_lists(loaded(data, where), where)
    return Content({name: [ranked(texts)] for name, texts in lists.items()})


def read_cupl(data: bytes, where: str) -> Content:
    """One member with one descriptor per sentence: CuPL's sentences are an ensemble. Raises InputError."""
    lists = class_lists(loaded(data, where), where)
    return Content({name: [ranked([text]) for text in texts] for name, texts in lists.items()})


def write_dclip(descriptions: DescriptionSet) -> bytes:
    """All members of a class as one list, without duplicate descriptors."""
    return _json({
        name: list(dict.fromkeys(each.text for member in members for each in member))
        for name, members in ordered(descriptions)
    })  # fmt: skip


def write_cupl(descriptions: DescriptionSet) -> bytes:
    """One sentence per member."""
    return _json({
        name: [descriptions.description(name, member) for member in range(len(members))]
        for name, members in ordered(descriptions)
    })  # fmt: skip


def ordered(descriptions: DescriptionSet) -> list[tuple[str, Any]]:
    """The classes and their members in label order."""
    return [(name, descriptions.members[name]) for name in descriptions.class_names]


def loaded(data: bytes, where: str) -> Any:
    """The value of a JSON file. Raises InputError, also for duplicate keys."""
    text = decoded(data, where)
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply; {_SHAPE}") from error
    except ValueError as error:  # a duplicate key, NaN, a number with thousands of digits
        raise InputError(f"{where}: {error}; {_SHAPE}") from error


def class_lists(value: Any, where: str) -> dict[str, list[str]]:
    """The mapping of classes to their texts. Raises InputError that names the place and the problem."""
    if not isinstance(value, dict):
        raise InputError(f"{where} contains {'a list' if isinstance(value, list) else 'one value'}; {_SHAPE}")
    if not value:
        raise InputError(f"{where} has no classes")
    lists = {}
    for name, texts in value.items():
        if not isinstance(name, str):
            raise InputError(f"{where}: the class {name!r} is not text: put it in quotes")
        if not isinstance(texts, list):
            raise InputError(f"{where}: the class {name!r} has no list of texts; {_SHAPE}")
        if not texts:
            raise InputError(f"{where}: the list of the class {name!r} is empty")
        lists[one_line(name, f"{where}: a class name")] = [
            one_line(text, f"{where}: text {number} of the class {name!r}")
            for number, text in enumerate(texts, start=1)
        ]
    if len(lists) < len(value):
        raise InputError(f"{where} has two classes whose names differ only in white space")
    return lists


def looks_like_sentences(data: bytes, where: str) -> bool:
    """Whether most texts of a JSON file end like sentences, as in CuPL's files but not in DCLIP's."""
    texts = [text for each in class_lists(loaded(data, where), where).values() for text in each]
    return 2 * sum(text.endswith((".", "!", "?")) for text in texts) > len(texts)


def _json(value: dict[str, list[str]]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8")
