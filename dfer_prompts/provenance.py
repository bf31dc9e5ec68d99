"""Provenance: which folds influenced a description set; evaluation on them is refused.

A set chosen with the labels of some clips, or derived from such a set, is optimistically biased on them. The
folds are recorded in the manifests and passed on to views, edits, ensembles and controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .description_set import DescriptionSet, Seen


def seen_folds(of: DescriptionSet, dataset: str, fingerprint: str) -> tuple[int, ...]:
    """The folds of a dataset whose labels influenced the set, ascending.

    The dataset is matched by fingerprint or by name: the fingerprint changes if the same clips are packed
    again.
    """
    folds = {
        fold
        for each in of.manifest.seen
        if each.fingerprint == fingerprint or each.dataset.casefold() == dataset.casefold()
        for fold in each.folds
    }
    return tuple(sorted(folds))


def seen_note(of: DescriptionSet, dataset: str, fingerprint: str, folds: Iterable[int]) -> str | None:
    """A message if one of the test folds influenced the set, else None."""
    overlap = sorted({*folds} & {*seen_folds(of, dataset, fingerprint)})
    if not overlap:
        return None
    name, listed = of.name or "the description set", ", ".join(map(str, overlap))
    return f"{name} was chosen with the labels of fold {listed} of {dataset}, so it cannot be tested there"


def require_unseen(
    sets: Sequence[DescriptionSet], dataset: str, fingerprint: str, folds: Iterable[int]
) -> None:
    """Raise InputError that names the first set influenced by one of the test folds."""
    tested = set(folds)
    for each in sets:
        if note := seen_note(each, dataset, fingerprint, tested):
            raise InputError(f"{note}\nTest it on other folds (--folds) or another dataset")


def chosen_set(
    of: DescriptionSet, chosen: Mapping[str, Sequence[str]], seen: Seen, derivation: Mapping[str, Any]
) -> DescriptionSet:
    """An unsaved set derived from `of`, chosen with the labels of `seen`; one member per class.

    `chosen` maps class names of the set to texts of descriptors; other classes are left out. A descriptor
    that the class does not have gets support 0 of the class's samples, as after `edit`. The result also has
    the `seen` entries of `of`.
    """
    from .description_set import DescriptionSet, Descriptor, Manifest, lineage

    names = tuple(name for name in of.class_names if name in chosen)
    members = {}
    for name in names:
        known = {each.text: each for member in reversed(of.members[name]) for each in member}
        samples = max(each.samples for each in known.values())
        members[name] = (
            tuple(
                replace(known[text], rank=rank) if text in known else Descriptor(text, rank, 0, samples)
                for rank, text in enumerate(chosen[name], start=1)
            ),
        )
    class_set = {**of.manifest.class_set, "class_names": list(names)}
    if words := {name: own for name, own in class_set.pop("words", {}).items() if name in names}:
        class_set["words"] = words
    passed_on = lineage([of])
    passed_on["seen"] = tuple(dict.fromkeys((*passed_on["seen"], seen)))
    fields = {"source", "citation", "license", "control", "template", "template_sha256", "model"}
    manifest = Manifest(
        class_set=class_set,
        derivation=dict(derivation),
        **of.manifest.model_dump(include=fields),
        **passed_on,
    )
    return DescriptionSet("", names, members, manifest)
