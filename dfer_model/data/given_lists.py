"""Differences of a dataset's lists from the rule "a fold trains on every clip that it does not test".

Only the difference is stored, so clips whose lists follow the rule are packed like clips without lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfer_model.data.annotations import LabelFile, Labelled
from dfer_model.errors import InputError, listed

# The key in prepare.json.
REPORT_KEY = "lists"


@dataclass(frozen=True)
class FoldLists:
    """Ids of the clips that a fold neither trains on nor tests.

    `left_out` are in none of the fold's lists, `validation` in its validation list.
    """

    left_out: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()


def fold_lists(
    files: Sequence[LabelFile], read: Sequence[Sequence[Labelled]], fold_of: Mapping[str, int]
) -> dict[int, FoldLists]:
    """Fold -> its lists, for folds whose lists differ from the rule; `fold_of` is clip id -> fold.

    A fold without a training list trains on all clips that it neither tests nor validates on.
    """
    given = {
        (file.role, file.number): {clip.clip_id for clip in clips}
        for file, clips in zip(files, read, strict=True)
    }
    found = {}
    for fold in sorted({fold for fold in fold_of.values() if fold}):
        validation = given.get(("val", fold), set())
        rest = {clip_id for clip_id, own in fold_of.items() if own != fold} - validation
        left_out = rest - given.get(("train", fold), rest)
        if left_out or validation:
            found[fold] = FoldLists(tuple(sorted(left_out)), tuple(sorted(validation)))
    return found


def without_test_lists_again(
    files: Sequence[LabelFile], read: Sequence[Sequence[Labelled]]
) -> tuple[list[LabelFile], list[Sequence[Labelled]], list[str]]:
    """The lists without validation lists that repeat their set's test list, and a note for each of those.

    MAE-DFER's val.csv is such a copy; an epoch selected on it would be selected on the test fold.
    """
    tests = {
        file.number: {clip.clip_id for clip in clips}
        for file, clips in zip(files, read, strict=True)
        if file.is_test
    }
    kept, notes = [], []
    for file, clips in zip(files, read, strict=True):
        if file.role == "val" and {clip.clip_id for clip in clips} == tests.get(file.number):
            notes.append(f"the validation list of set {file.number} repeats its test list and is not used")
        else:
            kept.append((file, clips))
    return [file for file, _ in kept], [clips for _, clips in kept], notes


def notes_on(lists: Mapping[int, FoldLists]) -> list[str]:
    """Notes for the user on each fold's lists, with the first clips."""
    notes = []
    for fold, each in lists.items():
        if each.left_out:
            notes.append(
                f"fold {fold} follows its training list, which leaves out {_clips(each.left_out)} that the "
                f"fold does not test: {listed(each.left_out)}"
            )
        if each.validation:
            notes.append(
                f"fold {fold} has a validation list of {_clips(each.validation)}: they are not trained on, "
                "and --select val selects the epoch on them"
            )
    return notes


def _clips(ids: Sequence[str]) -> str:
    return f"{len(ids)} clip{'' if len(ids) == 1 else 's'}"


def as_report(lists: Mapping[int, FoldLists]) -> dict[str, Any]:
    """The part of prepare.json with the lists; empty if there are none."""
    if not lists:
        return {}
    told = {
        str(fold): {"left_out": list(each.left_out), "validation": list(each.validation)}
        for fold, each in lists.items()
    }
    return {REPORT_KEY: told}


def from_report(report: Mapping[str, Any], where: object) -> dict[int, FoldLists]:
    """The lists in prepare.json; earlier versions stored none.

    Raises InputError with the packed clips `where` if they are damaged.
    """
    told = report.get(REPORT_KEY, {})
    try:
        lists = {
            int(fold): FoldLists(tuple(each["left_out"]), tuple(each["validation"]))
            for fold, each in told.items()
        }
        ids = [clip_id for each in lists.values() for clip_id in (*each.left_out, *each.validation)]
        if not all(isinstance(clip_id, str) for clip_id in ids):
            raise TypeError(ids)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the training lists of the packed clips in {where} are damaged\nPrepare the clips again"
        ) from error
    return lists
