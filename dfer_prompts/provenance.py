"""What the choice of a set's descriptors has seen, and the refusal to judge it there.

A set that was chosen by the labels of some clips, or made from one that was, looks better on them than it
is. What it has seen travels in the manifests, through views, edits, ensembles and controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .description_set import DescriptionSet, Seen


def seen_folds(of: DescriptionSet, dataset: str, fingerprint: str) -> tuple[int, ...]:
    """The folds of a dataset whose labels took part in choosing the set, ascending.

    The dataset is known by its fingerprint or by its name: packed anew it has another fingerprint, and the
    same clips.
    """
    folds = {
        fold
        for each in of.manifest.seen
        if each.fingerprint == fingerprint or each.dataset.casefold() == dataset.casefold()
        for fold in each.folds
    }
    return tuple(sorted(folds))


def seen_note(of: DescriptionSet, dataset: str, fingerprint: str, folds: Iterable[int]) -> str | None:
    """A sentence where the set has seen one of the folds that are to judge it; None where it has not."""
    overlap = sorted({*folds} & {*seen_folds(of, dataset, fingerprint)})
    if not overlap:
        return None
    name, listed = of.name or "the description set", ", ".join(map(str, overlap))
    return f"{name} was chosen by the labels of fold {listed} of {dataset}, which cannot judge it"


def require_unseen(
    sets: Sequence[DescriptionSet], dataset: str, fingerprint: str, folds: Iterable[int]
) -> None:
    """Raise InputError that names the first set that has seen one of the folds that are to judge it."""
    judging = set(folds)
    for each in sets:
        if note := seen_note(each, dataset, fingerprint, judging):
            raise InputError(f"{note}\nJudge it on other folds (--folds) or another dataset")


def chosen_set(
    of: DescriptionSet, chosen: Mapping[str, Sequence[str]], seen: Seen, derivation: Mapping[str, Any]
) -> DescriptionSet:
    """A draft of these descriptors of `of`, which the labels of `seen` chose; one member per class.

    `chosen` maps classes of the set, by its own names, to texts of their descriptors; other classes are left
    out. The draft has seen what `of` has, too.
    """
    from .description_set import DescriptionSet, Manifest, lineage

    names = tuple(name for name in of.class_names if name in chosen)
    members = {}
    for name in names:
        known = {each.text: each for member in reversed(of.members[name]) for each in member}
        members[name] = (
            tuple(replace(known[text], rank=rank) for rank, text in enumerate(chosen[name], start=1)),
        )
    class_set = {**of.manifest.class_set, "class_names": list(names)}
    if words := {name: said for name, said in class_set.pop("words", {}).items() if name in names}:
        class_set["words"] = words
    passed_on = lineage([of])
    passed_on["seen"] = tuple(dict.fromkeys((*passed_on["seen"], seen)))
    kept = {"source", "citation", "license", "control", "template", "template_sha256", "model"}
    manifest = Manifest(
        class_set=class_set, derivation=dict(derivation), **of.manifest.model_dump(include=kept), **passed_on
    )
    return DescriptionSet("", names, members, manifest)
