"""The texts of description sets for the classes of clips, in label order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..classes import match_class_name
from ..description_set import DescriptionSet
from ..errors import InputError
from ..seen import seen_note
from ..versions.store import DescriptionStore
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts, Run


def loaded(sets: Sequence[DescriptionSet | str], workspace: Workspace) -> list[DescriptionSet]:
    """The sets, those given by reference ("v2", "v2@4") read. Raises InputError for none at all."""
    if not sets:
        raise InputError("no description set is given; give one or more")
    store = DescriptionStore(workspace)
    return [store.load(each) if isinstance(each, str) else each for each in sets]


def class_texts(of: DescriptionSet, class_names: Sequence[str]) -> ClassTexts:
    """What a model for these classes is given of the set.

    Raises InputError that names the classes the set does not cover.
    """
    from dfer_model.runs import ClassTexts

    texts = of.class_texts(class_names)
    return ClassTexts(of.name, of.sha256, tuple(class_names), tuple(tuple(members) for members in texts))


def seen_notes(run: Run, clips: PackedClips, folds: Sequence[int], workspace: Workspace) -> list[str]:
    """What the run's set says it has seen of the judging folds, where the set is still here as it was."""
    try:
        described = DescriptionStore(workspace).load(run.texts.name)
    except InputError:
        return []
    note = seen_note(described, clips.name, clips.fingerprint, folds)
    return [note] if note and described.sha256 == run.texts.sha256 else []


def no_texts(classifier: str, class_names: Sequence[str]) -> ClassTexts:
    """What a classifier that is given no texts has in their place: class names, under its own name."""
    from dfer_model.runs import ClassTexts

    return ClassTexts(classifier, "", tuple(class_names), ((),) * len(class_names))


def descriptor_texts(of: DescriptionSet, class_names: Sequence[str]) -> list[list[str]]:
    """The descriptors of each class in the given order, those of all members, each text once."""
    return [
        list(dict.fromkeys(each.text for member in of.members[name] for each in member))
        for name in own_names(of, class_names)
    ]


def own_names(of: DescriptionSet, class_names: Sequence[str]) -> list[str]:
    """How the set itself calls these classes, which it covers."""
    return [match_class_name(name, of.class_names) or name for name in class_names]


def common_classes(sets: Sequence[DescriptionSet]) -> tuple[str, ...]:
    """The classes of the first set that every set describes. Raises InputError for fewer than 2."""
    first, *others = sets
    common = tuple(
        name
        for name in first.class_names
        if all(match_class_name(name, other.class_names) is not None for other in others)
    )
    if len(common) < 2:
        names = ", ".join(each.name for each in sets)
        raise InputError(f"{names} have {len(common)} classes in common; to tell apart there must be two")
    return common
