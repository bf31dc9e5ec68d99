"""Plain text with one sentence per line in class order, as in DFER-CLIP's released code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...description_set import DescriptionSet, join
from ...errors import InputError
from .file_content import Content, decoded, one_line, ranked
from .marks import require_order, text_of_class

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
    members, whole = {}, []
    for name, (number, line) in zip(class_names, lines, strict=True):
        place = f"{where}, line {number}"
        bare = text_of_class(one_line(line, place), name, class_names, place)
        quoted = _QUOTED.fullmatch(bare)
        descriptors = split(text_of_class(quoted["text"] if quoted else bare, name, class_names, place))
        members[name] = [ranked(descriptors)]
        if len(descriptors) == 1:
            whole.append(str(number))
    notes = (
        [f"not split, because they are not lists of descriptors: line {', '.join(whole)}"] if whole else []
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
