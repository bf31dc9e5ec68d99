"""Lint for description sets: what prevents training, makes a comparison unfair, or is a likely mistake.

The checks read text only; the quality of a set is measured by a comparison.
"""

from __future__ import annotations

from ..classes import ClassSet, match_class_name
from ..description_set import DescriptionSet
from ..errors import InputError
from .set_checks import SETS, Finding, Subject
from .word_checks import GRAMMAR, WORDS

__all__ = ["Finding", "check"]

_LEVELS = ("error", "warning", "note")


def check(
    descriptions: DescriptionSet, contexts: int = 8, class_set: ClassSet | None = None
) -> list[Finding]:
    """All findings on a set, errors first, then in class order.

    `contexts` is the number of learnable vectors that share CLIP's 77 positions with a description. With
    `class_set`, its classes are checked, and each must be present; the default is the set's own classes.
    Raises InputError for a negative number of contexts.
    """
    if contexts < 0:
        raise InputError(f"the number of contexts must be 0 or more, not {contexts}")
    named = descriptions.class_names if class_set is None else class_set.names
    found = [match_class_name(name, descriptions.class_names) for name in named]
    subject = Subject(
        descriptions, tuple(name for name in found if name is not None), contexts, asked=class_set
    )
    findings = [finding for rule in (*SETS, *WORDS, *GRAMMAR) for finding in rule(subject)]
    places = {name: place for place, name in enumerate(subject.class_names)}
    findings.sort(key=lambda each: (_LEVELS.index(each.level), places.get(each.class_name or "", -1)))
    return findings
