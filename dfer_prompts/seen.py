"""What the choice of a set's descriptors has seen, and the refusal to judge it there.

A set that was chosen by the labels of some clips, or made from one that was, looks better on them than it
is. What it has seen travels in the manifests, through views, edits, ensembles and controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .description_set import DescriptionSet
from .errors import InputError


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


def require_unseen(
    sets: Sequence[DescriptionSet], dataset: str, fingerprint: str, folds: Iterable[int]
) -> None:
    """Raise InputError that names the first set that has seen one of the folds that are to judge it."""
    judging = set(folds)
    for each in sets:
        seen = seen_folds(each, dataset, fingerprint)
        if judging & set(seen):
            name, listed = each.name or "the description set", ", ".join(map(str, seen))
            raise InputError(
                f"{name} was chosen by the labels of fold {listed} of {dataset} and cannot "
                "be judged there\nJudge it on other folds (--folds) or another dataset"
            )
