"""Baselines without a description: one sentence that names the class.

The paper's Table 3 compares the descriptors with the class name alone and "a photo of [class]".
"""

from __future__ import annotations

from ...classes import ClassSet
from ...description_set import DescriptionSet, Descriptor, Manifest
from ...errors import InputError

PLACE = "{class}"


def sentence_set(class_set: ClassSet, pattern: str) -> DescriptionSet:
    """An unsaved set with one descriptor per class: `pattern` with the class's words in place of "{class}".

    "an expression of {class}" becomes "an expression of happiness" for the class happiness. Raises InputError
    for a pattern that is not a single line, has no "{class}" or has other braces.

    >>> from dfer_prompts import load_class_set
    >>> sentence_set(load_class_set("dfew"), "a photo of {class}").description("anger")
    'a photo of anger.'
    """
    sentence = pattern.strip().removesuffix(".")
    rest = sentence.replace(PLACE, "")
    if PLACE not in sentence:
        raise InputError(f"the sentence {pattern!r} has no {PLACE}: every class would get the same text")
    if "{" in rest or "}" in rest or not sentence.isprintable():
        raise InputError(f"the sentence {pattern!r} must be on one line, with only {PLACE} in braces")
    members = {
        each.name: ((Descriptor(sentence.replace(PLACE, each.words), 1),),) for each in class_set.classes
    }
    manifest = Manifest(
        class_set=class_set.as_manifest(),
        source="sentence",
        derivation={"command": "generate", "sentence": sentence},
    )
    return DescriptionSet("", class_set.names, members, manifest)
