"""Plain text with one sentence per line in class order, as in DFER-CLIP's released code.

JSON files {class: [text, ...]}: those of DCLIP contain descriptors, those of CuPL sentences.

DCLIP: Menon and Vondrick, Visual Classification via Description from Large Language Models, ICLR 2023.
CuPL: Pratt et al., What Does a Platypus Look Like?, ICCV 2023.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from dfer_model.io import strict_json

from ...description_set import DescriptionSet, join
from ...errors import InputError
from .file_content import Content, decoded, one_line, ranked, require_order, text_of_class

_QUOTED = re.compile(r"""(['"])(?P<text>.+)\1,?""")  # as in the released Python file


def read_text(data: bytes, where: str, class_names: Sequence[str] | None = None) -> Content:
    """Read the sentence of each class, one per line, split into descriptors if it is a list of them.

    List markers and the class name before a sentence are removed. Raises InputError if there is not one line
    for each of `class_names`, or if no classes are given.
    """
    if class_names is None:
        raise InputError(
            f"{where} has one sentence per line and no class names: give --classes\n"
            "With --classes mafw, for example, line 1 is happiness, as in `dfer-prompts classes show mafw`"
        )
    lines = [
        (number, line.strip())
        for number, line in enumerate(decoded(data, where).splitlines(), start=1)
        if line.strip()
    ]
    if len(lines) != len(class_names):
        raise InputError(
            f"{where} has {len(lines)} lines for {len(class_names)} classes: {', '.join(class_names)}\n"
            "One line per class in this order is required"
        )
    require_order(lines, where)
    members, unsplit = {}, []
    for name, (number, line) in zip(class_names, lines, strict=True):
        place = f"{where}, line {number}"
        bare = text_of_class(one_line(line, place), name, class_names, place)
        quoted = _QUOTED.fullmatch(bare)
        descriptors = split(text_of_class(quoted["text"] if quoted else bare, name, class_names, place))
        members[name] = [ranked(descriptors)]
        if len(descriptors) == 1:
            unsplit.append(str(number))
    notes = (
        [f"not split, because they are not lists of descriptors: line {', '.join(unsplit)}"]
        if unsplit
        else []
    )
    return Content(members, notes)


def write_text(descriptions: DescriptionSet) -> bytes:
    """The sentence of the first member of each class, one per line."""
    return "".join(f"{descriptions.description(name)}\n" for name in descriptions.class_names).encode("utf-8")


def split(sentence: str) -> list[str]:
    """The descriptors from which `join` makes this sentence; [sentence] if it is not such a list.

    >>> split("a smiling mouth, raised cheeks, and wrinkled eyes.")
    ['a smiling mouth', 'raised cheeks', 'wrinkled eyes']
    """
    ended = sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
    bare = ended.removesuffix(".")
    for parts in (_listed(bare, ";"), _listed(bare, ","), bare.split(" and ")):
        if len(parts) > 1 and all(parts) and _uncapitalised(join(parts)) == _uncapitalised(ended):
            return parts
    return [bare] if join([bare]) == ended else [ended]


def unsplittable(descriptions: DescriptionSet) -> list[str]:
    """The classes whose sentence cannot be split into its descriptors."""
    firsts = {
        name: [each.text for each in descriptions.members[name][0]] for name in descriptions.class_names
    }
    return [name for name, texts in firsts.items() if split(join(texts)) != texts]


def _listed(text: str, comma: str) -> list[str]:
    *first, last = text.split(f"{comma} ")
    return [*first, last.removeprefix("and ")] if last.startswith("and ") else []


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


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
