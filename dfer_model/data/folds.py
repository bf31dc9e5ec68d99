"""The fold of each clip, from the lists of a dataset or assigned at random. A clip in two lists is a leak.

A fold trains on every clip that it does not test. Where the lists of a dataset differ from this rule, only
the difference is stored (`FoldLists`), so clips whose lists follow it are packed like clips without lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfer_model.data.annotations import LabelFile, Labelled
from dfer_model.errors import InputError, listed

# Verb for each role in messages; test lists are read last.
USES = {"train": "trains on it", "val": "validates on it", "test": "tests on it"}


def assign_folds(
    files: Sequence[LabelFile], read: Sequence[Sequence[Labelled]]
) -> dict[str, tuple[Labelled, int]]:
    """Clip id -> (its row, its fold): N for a test clip of set N, 0 for one that no given file tests.

    Raises InputError with the clip if it has two labels, is in the test lists of two sets, or in two lists of
    one set; and if two files are the same list of the same set.
    """
    _check_distinct(files)
    found: dict[str, tuple[Labelled, int]] = {}
    used: dict[tuple[str, int], tuple[LabelFile, str]] = {}
    for file, clips in sorted(zip(files, read, strict=True), key=lambda pair: list(USES).index(pair[0].role)):
        for clip in clips:
            known, fold = found.get(clip.clip_id, (clip, 0))
            if known.class_name != clip.class_name:
                raise InputError(
                    f"clip {clip.clip_id} has two labels: {known.class_name} ({known.where}) "
                    f"and {clip.class_name} ({clip.where})"
                )
            other, where = used.setdefault((clip.clip_id, file.number), (file, clip.where))
            if other.role != file.role:
                raise InputError(
                    f"clip {clip.clip_id} leaks: set {file.number} both {USES[other.role]} ({where}) "
                    f"and {USES[file.role]} ({clip.where})"
                )
            if file.is_test and fold not in (0, file.number):
                raise InputError(
                    f"clip {clip.clip_id} is tested twice: in set {fold} ({known.where}) "
                    f"and in set {file.number} ({clip.where})"
                )
            found[clip.clip_id] = (clip, file.number) if file.is_test else (known, fold)
    return found


def _check_distinct(files: Sequence[LabelFile]) -> None:
    seen: dict[tuple[str, int], LabelFile] = {}
    for file in files:
        other = seen.setdefault((file.role, file.number), file)
        if other is not file:
            kind = {"train": "training", "val": "validation", "test": "test"}[file.role]
            raise InputError(
                f"two {kind} lists of set {file.number}: {other.path} and {file.path}\n"
                "Name the set in each file's name (set_1, set_2 ...), or give one of them: --labels FILE"
            )


def deal_folds(classes: Mapping[str, str], folds: int, seed: int) -> dict[str, int]:
    """Clip id -> fold 1..`folds`, each class spread evenly, from clip id -> class name.

    Clips of one person may be in two folds; only a folds.csv can prevent this.
    Raises InputError for fewer than 2 folds or a class with fewer clips than folds.
    """
    # Imported here: packing processes import this module but deal no folds.
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise InputError(f"--folds {folds}: at least 2 are needed")
    rarest, count = Counter(classes.values()).most_common()[-1]
    if count < folds:
        raise InputError(f"class {rarest} has {count} clips, fewer than the {folds} folds")
    clip_ids = sorted(classes)
    dealt = {}
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(
        np.zeros(len(clip_ids)), [classes[clip_id] for clip_id in clip_ids]
    )
    for number, (_, tested) in enumerate(splits, start=1):
        dealt.update({clip_ids[int(index)]: number for index in tested})
    return dealt


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
    used, notes = [], []
    for file, clips in zip(files, read, strict=True):
        if file.role == "val" and {clip.clip_id for clip in clips} == tests.get(file.number):
            notes.append(f"the validation list of set {file.number} repeats its test list and is not used")
        else:
            used.append((file, clips))
    return [file for file, _ in used], [clips for _, clips in used], notes


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
    fields = {
        str(fold): {"left_out": list(each.left_out), "validation": list(each.validation)}
        for fold, each in lists.items()
    }
    return {REPORT_KEY: fields}


def from_report(report: Mapping[str, Any], where: object) -> dict[int, FoldLists]:
    """The lists in prepare.json; earlier versions stored none.

    Raises InputError with the packed clips `where` if they are damaged.
    """
    stored = report.get(REPORT_KEY, {})
    try:
        lists = {
            int(fold): FoldLists(tuple(each["left_out"]), tuple(each["validation"]))
            for fold, each in stored.items()
        }
        ids = [clip_id for each in lists.values() for clip_id in (*each.left_out, *each.validation)]
        if not all(isinstance(clip_id, str) for clip_id in ids):
            raise TypeError(ids)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the training lists of the packed clips in {where} are damaged\nPrepare the clips again"
        ) from error
    return lists
